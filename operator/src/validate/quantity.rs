//! Quantities of Kubernetes as bytes and as cores.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

const UNITS: [(&str, u64); 10] = [
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("Pi", 1 << 50),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
    ("P", 1_000_000_000_000_000),
];

/// Whole bytes; `None` for what is no number, has a fraction in bytes, or does not fit.
pub(super) fn bytes(quantity: &Quantity) -> Option<u64> {
    let text = quantity.0.trim();
    let (number, unit) = UNITS
        .iter()
        .find_map(|(suffix, factor)| Some((text.strip_suffix(suffix)?, *factor)))
        .unwrap_or((text, 1));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole = whole.parse::<u64>().ok()?.checked_mul(unit)?;
    if fraction.is_empty() {
        return Some(whole);
    }
    let digits = u32::try_from(fraction.len()).ok()?;
    let part = fraction.parse::<u64>().ok()?.checked_mul(unit)? / 10_u64.checked_pow(digits)?;
    whole.checked_add(part)
}

/// Any quantity, near enough to compare two; `None` for what is no number.
pub(super) fn number(quantity: &Quantity) -> Option<f64> {
    const RARE: [(&str, f64); 5] = [
        ("Ei", 1_152_921_504_606_846_976.0),
        ("E", 1e18),
        ("m", 1e-3),
        ("u", 1e-6),
        ("n", 1e-9),
    ];
    let text = quantity.0.trim();
    #[expect(clippy::cast_precision_loss, reason = "every unit is a round number")]
    let usual = UNITS.iter().map(|(suffix, factor)| (*suffix, *factor as f64));
    let (number, unit) = usual
        .chain(RARE)
        .find_map(|(suffix, factor)| Some((text.strip_suffix(suffix)?, factor)))
        .unwrap_or((text, 1.0));
    let number = number.parse::<f64>().ok()? * unit;
    (number.is_finite() && number >= 0.0).then_some(number)
}

/// Cores; `None` for what is no number.
pub(super) fn cores(quantity: &Quantity) -> Option<f64> {
    let text = quantity.0.trim();
    let (number, share) = match text.strip_suffix('m') {
        Some(number) => (number, 0.001),
        None => (text, 1.0),
    };
    let cores = number.parse::<f64>().ok()? * share;
    (cores.is_finite() && cores >= 0.0).then_some(cores)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_read() {
        for (text, expected) in [
            ("1500m", Some(1.5)),
            ("2", Some(2.0)),
            ("0.5", Some(0.5)),
            ("x", None),
            ("-1", None),
            ("inf", None),
        ] {
            assert_eq!(cores(&Quantity(text.to_owned())), expected, "{text}");
        }
    }

    #[test]
    fn quantities_are_read_as_kubernetes_writes_them() {
        let cases = [
            ("10Gi", Some(10 << 30)),
            ("1.5Gi", Some(3 << 29)),
            ("500M", Some(500_000_000)),
            ("1024", Some(1024)),
            ("", None),
            ("-1Gi", None),
            ("1e3", None),
            ("99999999Pi", None),
        ];
        for (text, expected) in cases {
            assert_eq!(bytes(&Quantity(text.to_owned())), expected, "{text}");
        }
    }
}
