//! Why a command comes to nothing: a code of the protocol, and words where those of the code do not name the cause.

use std::fmt;

use natter_protocol::{ErrorCode, ReplyBody};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub code: ErrorCode,
    reason: &'static str,
}

impl Refusal {
    pub fn because(code: ErrorCode, reason: &'static str) -> Self {
        Self { code, reason }
    }

    pub fn body(self) -> ReplyBody<'static> {
        ReplyBody::Refused(self.code, self.reason)
    }
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Self {
        Self::because(code, code.message())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason)
    }
}
