//! The names of rooms, which the protocol calls channels.

/// Begins the name of a room that nobody joins without a token.
const PRIVATE: char = '$';

/// Checks a room's name: not empty, at most `max_len` bytes, printable ASCII (space to tilde) only. Anything
/// wrong is a bad request (107): names end up in log lines, metrics and subjects of the bus.
pub fn check(name: &str, max_len: usize) -> Result<(), ChannelError> {
    if name.is_empty() {
        return Err(ChannelError::Empty);
    }
    if name.len() > max_len {
        return Err(ChannelError::TooLong {
            len: name.len(),
            max: max_len,
        });
    }
    match name.bytes().position(|byte| !matches!(byte, b' '..=b'~')) {
        Some(at) => Err(ChannelError::Character { at }),
        None => Ok(()),
    }
}

/// The namespace that a room belongs to: what stands before the first `:`, if there is one, without the mark of private rooms.
pub fn namespace_of(name: &str) -> Option<&str> {
    let name = name.strip_prefix(PRIVATE).unwrap_or(name);
    name.split_once(':').map(|(namespace, _)| namespace)
}

/// Whether nobody joins the room without a token or by the server's decision: `$room`, `$namespace:room`.
pub fn is_private(name: &str) -> bool {
    name.starts_with(PRIVATE)
}

/// Whether `user` may have to do with a room: what stands behind the last `#` of a name, if there is one, lists the users
/// whose room it is, with commas between them.
pub fn admits(name: &str, user: &str) -> bool {
    name.rsplit_once('#')
        .is_none_or(|(_, users)| !user.is_empty() && users.split(',').any(|listed| listed == user))
}

/// Why a name cannot be a room's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChannelError {
    #[error("channel name is empty")]
    Empty,
    #[error("channel name has {len} bytes, the limit is {max}")]
    TooLong { len: usize, max: usize },
    #[error("channel name has a character outside printable ASCII at byte {at}")]
    Character { at: usize },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printable_ascii_up_to_the_limit_is_a_name() {
        for name in [
            "a",
            "chat:room 1",
            "$private",
            "user#42",
            "~!@%^&*()_+ .>",
            &"x".repeat(255),
        ] {
            assert_eq!(check(name, 255), Ok(()), "{name:?}");
        }
    }

    #[test]
    fn everything_else_is_not() {
        let long = "x".repeat(256);
        let cases = [
            ("", ChannelError::Empty),
            (long.as_str(), ChannelError::TooLong { len: 256, max: 255 }),
            ("a\0", ChannelError::Character { at: 1 }),
            ("a\nb", ChannelError::Character { at: 1 }),
            ("\t", ChannelError::Character { at: 0 }),
            ("abc\u{7f}", ChannelError::Character { at: 3 }),
            ("комната", ChannelError::Character { at: 0 }),
        ];
        for (name, expected) in cases {
            assert_eq!(check(name, 255), Err(expected), "{name:?}");
        }
    }

    #[test]
    fn the_first_colon_ends_the_namespace() {
        let cases = [
            ("room", None),
            ("chat:room", Some("chat")),
            ("a:b:c", Some("a")),
            (":x", Some("")),
            ("x:", Some("x")),
        ];
        for (name, expected) in cases {
            assert_eq!(namespace_of(name), expected, "{name:?}");
        }
    }

    #[test]
    fn a_list_of_users_admits_nobody_else() {
        let cases = [
            ("room", "", true),
            ("room", "42", true),
            ("#42", "42", true),
            ("#42", "4", false),
            ("#42", "", false),
            ("chat:talk#42,43", "43", true),
            ("chat:talk#42,43", "42,43", false),
            ("chat:a#42#43", "42", false),
            ("chat:a#42#43", "43", true),
            ("chat:a#", "", false),
            ("chat:a#,", "", false),
        ];
        for (name, user, expected) in cases {
            assert_eq!(admits(name, user), expected, "{name:?} {user:?}");
        }
    }
}
