//! Why a call comes to nothing: the one place that gives it a code, a text and, in REST, an HTTP status.

use std::borrow::Cow;

use http::StatusCode;
use natter_protocol::ErrorCode;

use crate::{
    bus::BusError,
    gateway::{error_code, store_error_code},
    history::StoreError,
    presence::PresenceError,
    revocation::RevokeError,
};

#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// The code says it all.
    #[error(transparent)]
    Code(#[from] ErrorCode),
    /// Something about the request, in words for whoever wrote it.
    #[error("{0}")]
    Bad(Cow<'static, str>),
    /// Neither stored nor read, or not known to be.
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("rooms of this namespace keep no history")]
    NoHistory,
    #[error("rooms of this namespace keep no presence")]
    NoPresence,
    /// Who is in a room cannot be told.
    #[error(transparent)]
    Presence(#[from] PresenceError),
    /// Something is not revoked, or not known to be.
    #[error(transparent)]
    Revoke(#[from] RevokeError),
    /// The reader counts in an epoch that has passed, or what follows its position was removed since.
    #[error("what follows this position is not known any more: read from the beginning")]
    Unrecoverable,
    #[error("too many wrong API keys")]
    WrongKeys,
    /// The key is for other things.
    #[error("this key may not do that")]
    Scope,
    #[error("the body is too large or incomplete")]
    Body,
    #[error("there is nothing at this path")]
    Path,
    #[error("this resource does not take this method")]
    Verb,
}

impl From<BusError> for Refusal {
    fn from(error: BusError) -> Self {
        Self::Store(error.into())
    }
}

impl Refusal {
    pub(super) fn bad(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Bad(reason.into())
    }

    pub(super) fn code(&self) -> ErrorCode {
        match self {
            Self::Code(code) => *code,
            Self::Bad(_) => ErrorCode::BadRequest,
            Self::Store(error) => store_error_code(*error),
            Self::NoHistory | Self::NoPresence | Self::Revoke(RevokeError::Unavailable) => {
                ErrorCode::NotAvailable
            }
            Self::Presence(error) => error.code(),
            Self::WrongKeys => ErrorCode::TooManyRequests,
            Self::Revoke(RevokeError::Bus(error)) => error_code(*error),
            Self::Unrecoverable => ErrorCode::UnrecoverablePosition,
            Self::Scope => ErrorCode::PermissionDenied,
            Self::Body | Self::Revoke(RevokeError::Full) => ErrorCode::LimitExceeded,
            Self::Path | Self::Verb => ErrorCode::MethodNotFound,
        }
    }

    /// The status follows from the code, but where one code stands for two things that a caller does differently.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Store(StoreError::KeyReused) => StatusCode::CONFLICT,
            Self::Store(StoreError::Full) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Verb => StatusCode::METHOD_NOT_ALLOWED,
            _ => status_of(self.code()),
        }
    }

    /// The status in the server API's transport mode: Centrifugo's where it knows the code, which is not REST's.
    pub(super) fn transport_status(&self) -> StatusCode {
        match self.code() {
            ErrorCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            // What has expired is a time that the request names, and no key.
            ErrorCode::NotAvailable | ErrorCode::Expired => StatusCode::BAD_REQUEST,
            ErrorCode::UnrecoverablePosition => StatusCode::RANGE_NOT_SATISFIABLE,
            code => status_of(code),
        }
    }

    /// Seconds after which the same request may succeed; `None` when it will not. A history that is full has room
    /// when its oldest messages are forgotten or somebody makes some, both of which take a while.
    pub(super) fn retry_after(&self) -> Option<u32> {
        match self {
            Self::Store(StoreError::Full) => Some(10),
            _ => self.code().temporary().then_some(1),
        }
    }
}

fn status_of(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::Internal => StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::Unauthorized | ErrorCode::TokenExpired | ErrorCode::Expired => StatusCode::UNAUTHORIZED,
        ErrorCode::UnknownChannel | ErrorCode::MethodNotFound | ErrorCode::NotAvailable => {
            StatusCode::NOT_FOUND
        }
        ErrorCode::PermissionDenied => StatusCode::FORBIDDEN,
        ErrorCode::AlreadySubscribed | ErrorCode::ConcurrentPagination => StatusCode::CONFLICT,
        ErrorCode::LimitExceeded => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::BadRequest => StatusCode::BAD_REQUEST,
        ErrorCode::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::UnrecoverablePosition => StatusCode::GONE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_in_transport_mode_speaks_of_the_request() {
        for (code, status) in [
            (ErrorCode::Internal, 500),
            (ErrorCode::UnknownChannel, 404),
            (ErrorCode::MethodNotFound, 404),
            (ErrorCode::LimitExceeded, 413),
            (ErrorCode::BadRequest, 400),
            (ErrorCode::NotAvailable, 400),
            (ErrorCode::Expired, 400),
            (ErrorCode::TooManyRequests, 429),
            (ErrorCode::UnrecoverablePosition, 416),
            (ErrorCode::ConcurrentPagination, 409),
        ] {
            assert_eq!(Refusal::from(code).transport_status(), status, "{code}");
        }
    }

    #[test]
    fn what_may_be_tried_again_says_when() {
        let store = |error: BusError| Refusal::from(error);
        for (refusal, code, status, retry_after) in [
            (store(BusError::Disconnected), 100, 503, Some(1)),
            (store(BusError::Timeout), 100, 503, Some(1)),
            (store(BusError::Refused), 100, 503, Some(1)),
            (store(BusError::Overloaded), 111, 429, Some(1)),
            (StoreError::Full.into(), 106, 503, Some(10)),
            (store(BusError::TooLarge), 106, 413, None),
            (StoreError::KeyReused.into(), 107, 409, None),
            (Refusal::bad("x"), 107, 400, None),
            (Refusal::NoHistory, 108, 404, None),
            (Refusal::Unrecoverable, 112, 410, None),
            (Refusal::Verb, 104, 405, None),
            (Refusal::Scope, 103, 403, None),
            (ErrorCode::UnknownChannel.into(), 102, 404, None),
            (ErrorCode::Unauthorized.into(), 101, 401, None),
        ] {
            let found = (
                refusal.code().code(),
                refusal.status().as_u16(),
                refusal.retry_after(),
            );
            assert_eq!(found, (code, status, retry_after), "{refusal:?}");
        }
    }
}
