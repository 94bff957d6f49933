//! Decimal numbers in tags, compared by their digits: nothing is rounded.

use std::cmp::Ordering;

/// Bytes of the longest text that is taken for a number, and digits behind its point: the limits of the decimal type
/// that the centrifuge library compares with, so that a longer text is no number here either.
const MAX_LEN: usize = 200;
const MAX_FRACTION: usize = 19;

/// A decimal number without the zeros that mean nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Number<'a> {
    is_negative: bool,
    integer: &'a str,
    fraction: &'a str,
}

impl<'a> Number<'a> {
    /// Reads an optional sign, digits, and optionally a point with digits behind it.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        if text.len() > MAX_LEN {
            return None;
        }
        let (is_negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (integer, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !is_digits(integer) || !is_digits(fraction) || fraction.len() > MAX_FRACTION {
            return None;
        }
        let (integer, fraction) = (integer.trim_start_matches('0'), fraction.trim_end_matches('0'));
        let is_zero = integer.is_empty() && fraction.is_empty();
        Some(Self {
            is_negative: is_negative && !is_zero,
            integer,
            fraction,
        })
    }

    fn cmp_magnitude(&self, other: &Self) -> Ordering {
        let by_integer = self
            .integer
            .len()
            .cmp(&other.integer.len())
            .then(self.integer.cmp(other.integer));
        // Digits behind the point weigh by their place, as letters in a dictionary do.
        by_integer.then(self.fraction.cmp(other.fraction))
    }
}

impl PartialOrd for Number<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.is_negative, other.is_negative) {
            (false, false) => self.cmp_magnitude(other),
            (true, true) => other.cmp_magnitude(self),
            (is_negative, _) => {
                if is_negative {
                    Ordering::Less
                } else {
                    Ordering::Greater
                }
            }
        }
    }
}
