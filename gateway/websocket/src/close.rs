//! Close frames (sections 5.5.1 and 7.4).

use std::borrow::Cow;

use crate::ProtocolError;

/// Why the client closes the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseFrame<'a> {
    /// The status code, one of those allowed on the wire.
    pub code: u16,
    /// At most 123 bytes.
    pub reason: Cow<'a, str>,
}

/// Reads the payload of a close frame; `None` when it is empty, which is allowed.
pub(crate) fn parse(payload: Cow<'_, [u8]>) -> Result<Option<CloseFrame<'_>>, ProtocolError> {
    let code = match *payload {
        [] => return Ok(None),
        [_] => return Err(ProtocolError::InvalidClosePayload),
        [high, low, ..] => u16::from_be_bytes([high, low]),
    };
    if !is_allowed(code) {
        return Err(ProtocolError::InvalidCloseCode(code));
    }
    let reason = match payload {
        Cow::Borrowed(bytes) => simdutf8::basic::from_utf8(&bytes[2..]).map(Cow::Borrowed).ok(),
        Cow::Owned(mut bytes) => String::from_utf8(bytes.split_off(2)).map(Cow::Owned).ok(),
    };
    let reason = reason.ok_or(ProtocolError::InvalidUtf8)?;
    Ok(Some(CloseFrame { code, reason }))
}

/// The codes defined for the wire in section 7.4.1 and the registry of section 11.7, and the ranges for libraries and
/// applications (section 7.4.2). 1004 is reserved; 1005, 1006 and 1015 only ever exist inside an API.
fn is_allowed(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both forms of a payload must be read alike.
    fn read(payload: &[u8]) -> Result<Option<CloseFrame<'_>>, ProtocolError> {
        let read = parse(Cow::Borrowed(payload));
        assert_eq!(parse(Cow::Owned(payload.to_vec())), read);
        read
    }

    #[test]
    fn empty_and_half_a_code() {
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&[3]), Err(ProtocolError::InvalidClosePayload));
    }

    #[test]
    fn code_and_reason() {
        assert_eq!(
            read(&[0x03, 0xe8]),
            Ok(Some(CloseFrame {
                code: 1000,
                reason: "".into()
            }))
        );
        let reason = "räson";
        let payload = [&3000_u16.to_be_bytes(), reason.as_bytes()].concat();
        assert_eq!(
            read(&payload),
            Ok(Some(CloseFrame {
                code: 3000,
                reason: reason.into()
            }))
        );
        assert_eq!(read(&[0x03, 0xe8, 0xc3]), Err(ProtocolError::InvalidUtf8));
    }

    #[test]
    fn codes_of_the_wire() {
        for code in [
            1000, 1001, 1002, 1003, 1007, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999,
        ] {
            assert!(read(&u16::to_be_bytes(code)).is_ok(), "{code}");
        }
        for code in [
            0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535,
        ] {
            assert_eq!(
                read(&u16::to_be_bytes(code)),
                Err(ProtocolError::InvalidCloseCode(code))
            );
        }
    }
}
