//! W3C Trace Context, level 1: the `traceparent` header.

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

/// Length of version 00 (section 3.2.2): `00-<32 hex>-<16 hex>-<2 hex>`.
const LENGTH: usize = 55;

/// The caller's span. `None` when the text is malformed, which section 4.3 says to treat as absent.
pub(super) fn parse(text: &str) -> Option<SpanContext> {
    let lower_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let bytes = text.as_bytes();
    let well_formed = bytes.len() >= LENGTH
        && bytes[..LENGTH].iter().enumerate().all(|(at, &byte)| match at {
            2 | 35 | 52 => byte == b'-',
            _ => lower_hex(byte),
        });
    if !well_formed {
        return None;
    }
    // A later version may append fields (section 3.2.4); `ff` is no version.
    match &text[..2] {
        "00" if bytes.len() > LENGTH => return None,
        "ff" => return None,
        _ if bytes.len() > LENGTH && bytes[LENGTH] != b'-' => return None,
        _ => {}
    }
    let flags = u8::from_str_radix(&text[53..LENGTH], 16).ok()?;
    let context = SpanContext::new(
        TraceId::from_hex(&text[3..35]).ok()?,
        SpanId::from_hex(&text[36..52]).ok()?,
        TraceFlags::new(flags) & TraceFlags::SAMPLED,
        true,
        TraceState::NONE,
    );
    context.is_valid().then_some(context)
}

/// The header for those behind this span.
pub(super) fn format(context: &SpanContext) -> String {
    format!(
        "00-{}-{}-{:02x}",
        context.trace_id(),
        context.span_id(),
        context.trace_flags()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_parent_survives_both_ways() {
        let parent = parse(SAMPLED).unwrap();
        assert!(parent.is_sampled() && parent.is_remote());
        assert_eq!(format(&parent), SAMPLED);
        assert!(!parse(&SAMPLED.replace("-01", "-00")).unwrap().is_sampled());
        assert!(
            parse(&SAMPLED.replacen("00", "cc", 1)).is_some(),
            "a later version is read as this one"
        );
        assert!(parse(&format!("cc{}-more", &SAMPLED[2..])).is_some());
    }

    #[test]
    fn malformed_is_absent() {
        let more = format!("{SAMPLED}-more");
        let upper = SAMPLED.to_uppercase();
        let no_trace = SAMPLED.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32));
        let no_span = SAMPLED.replace("b7ad6b7169203331", &"0".repeat(16));
        let version = SAMPLED.replacen("00", "ff", 1);
        let wide = format!("00-{}", "é".repeat(30));
        for text in [
            "",
            "00",
            &SAMPLED[..54],
            &more,
            &upper,
            &no_trace,
            &no_span,
            &version,
            &wide,
        ] {
            assert!(parse(text).is_none(), "{text}");
        }
    }
}
