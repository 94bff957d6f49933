//! Where a listing goes on: opaque to callers, so that what is in it may change.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::Deserialize;

/// The order of a listing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Order {
    /// Oldest first.
    #[default]
    Asc,
    /// Newest first.
    Desc,
}

/// Behind the message with this offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) order: Order,
    pub(super) offset: u64,
    pub(super) epoch: String,
}

impl Cursor {
    pub(super) fn encode(&self) -> String {
        let order = match self.order {
            Order::Asc => "asc",
            Order::Desc => "desc",
        };
        BASE64_URL_SAFE_NO_PAD.encode(format!("{order}.{}.{}", self.offset, self.epoch))
    }

    /// `None` when it is not one that [`Cursor::encode`] wrote.
    pub(super) fn decode(text: &str) -> Option<Self> {
        let text = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let mut parts = text.splitn(3, '.');
        let order = match parts.next()? {
            "asc" => Order::Asc,
            "desc" => Order::Desc,
            _ => return None,
        };
        // A listing never goes on behind nothing.
        let offset = parts.next()?.parse().ok().filter(|offset| *offset > 0)?;
        let epoch = parts.next().filter(|epoch| !epoch.is_empty())?.to_owned();
        Some(Self { order, offset, epoch })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_went() {
        for order in [Order::Asc, Order::Desc] {
            let cursor = Cursor {
                order,
                offset: u64::MAX,
                epoch: "a.b~é".to_owned(),
            };
            assert_eq!(Cursor::decode(&cursor.encode()), Some(cursor));
        }
    }

    #[test]
    fn anything_else_is_none() {
        let encoded = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
        for text in [
            "",
            "%",
            "asc.1.e",
            &encoded(""),
            &encoded("asc"),
            &encoded("asc.1"),
            &encoded("asc.1."),
        ] {
            assert_eq!(Cursor::decode(text), None, "{text:?}");
        }
        for text in [
            "up.1.e",
            "asc.-1.e",
            "asc.0.e",
            "asc.18446744073709551616.e",
            "asc..e",
        ] {
            assert_eq!(Cursor::decode(&encoded(text)), None, "{text:?}");
        }
        assert_eq!(
            Cursor::decode(&BASE64_URL_SAFE_NO_PAD.encode(b"asc.1.\xff")),
            None
        );
    }
}
