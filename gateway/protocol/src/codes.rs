//! The codes of the protocol: closed sets, each code with its number, its text on the wire and a label for logs
//! and metrics. Numbers and texts are those of the centrifuge library (`errors.go`, `unsubscribe.go`,
//! `disconnect.go`): SDKs act on the numbers, people search for the texts.

use std::fmt;

/// One line a code: doc comment, name, number, label, text.
macro_rules! codes {
    (
        $(#[$about:meta])*
        $name:ident: $number:ty, $text:ident {
            $($(#[$doc:meta])* $code:ident = $value:literal, $label:literal, $message:literal;)*
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr($number)]
        pub enum $name {
            $($(#[$doc])* $code = $value,)*
        }

        impl $name {
            /// Every code, for metrics that exist before they happen.
            pub const ALL: &'static [Self] = &[$(Self::$code,)*];

            /// The number on the wire.
            pub const fn code(self) -> $number {
                self as $number
            }

            /// The name in logs and metrics.
            pub const fn label(self) -> &'static str {
                match self { $(Self::$code => $label,)* }
            }

            /// The text on the wire.
            pub const fn $text(self) -> &'static str {
                match self { $(Self::$code => $message,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.$text())
            }
        }
    };
}

codes! {
    /// Why a command failed; the connection goes on.
    ErrorCode: u32, message {
        Internal = 100, "internal", "internal server error";
        Unauthorized = 101, "unauthorized", "unauthorized";
        UnknownChannel = 102, "unknown_channel", "unknown channel";
        PermissionDenied = 103, "permission_denied", "permission denied";
        MethodNotFound = 104, "method_not_found", "method not found";
        AlreadySubscribed = 105, "already_subscribed", "already subscribed";
        LimitExceeded = 106, "limit_exceeded", "limit exceeded";
        BadRequest = 107, "bad_request", "bad request";
        NotAvailable = 108, "not_available", "not available";
        TokenExpired = 109, "token_expired", "token expired";
        Expired = 110, "expired", "expired";
        TooManyRequests = 111, "too_many_requests", "too many requests";
        UnrecoverablePosition = 112, "unrecoverable_position", "unrecoverable position";
        ConcurrentPagination = 113, "concurrent_pagination", "concurrent pagination";
    }
}

impl ErrorCode {
    /// Whether the same command may succeed later: SDKs then try again by themselves.
    pub const fn temporary(self) -> bool {
        matches!(
            self,
            Self::Internal | Self::TooManyRequests | Self::ConcurrentPagination
        )
    }
}

impl std::error::Error for ErrorCode {}

codes! {
    /// Why the server ended a subscription.
    UnsubscribeCode: u32, reason {
        /// Somebody asked for it through the server API.
        Server = 2000, "server", "server unsubscribe";
        /// The server no longer knows what the client has seen.
        InsufficientState = 2500, "insufficient_state", "insufficient state";
        Expired = 2501, "expired", "subscription expired";
        /// The client must forget its token and cached state first.
        StateInvalidated = 2502, "state_invalidated", "state invalidated";
    }
}

impl UnsubscribeCode {
    /// Whether SDKs subscribe again by themselves.
    pub const fn resubscribes(self) -> bool {
        self.code() >= 2500
    }
}

codes! {
    /// Why a connection ended: the code and reason of the close frame. Reasons are short, never empty and never
    /// look like JSON, which SDKs would parse.
    DisconnectCode: u16, reason {
        /// The client closed it, or its network went away.
        ConnectionClosed = 3000, "connection_closed", "connection closed";
        /// This gateway drains.
        Shutdown = 3001, "shutdown", "shutdown";
        ServerError = 3004, "server_error", "internal server error";
        Expired = 3005, "expired", "connection expired";
        SubscriptionExpired = 3006, "subscription_expired", "subscription expired";
        /// The client does not read what it gets fast enough.
        Slow = 3008, "slow", "slow";
        WriteError = 3009, "write_error", "write error";
        InsufficientState = 3010, "insufficient_state", "insufficient state";
        ForceReconnect = 3011, "force_reconnect", "force reconnect";
        NoPong = 3012, "no_pong", "no pong";
        TooManyRequests = 3013, "too_many_requests", "too many requests";
        /// The client must forget its token and cached state first.
        StateInvalidated = 3014, "state_invalidated", "state invalidated";
        InvalidToken = 3500, "invalid_token", "invalid token";
        BadRequest = 3501, "bad_request", "bad request";
        /// No connect command in time.
        Stale = 3502, "stale", "stale";
        ForceNoReconnect = 3503, "force_no_reconnect", "force disconnect";
        ConnectionLimit = 3504, "connection_limit", "connection limit";
        ChannelLimit = 3505, "channel_limit", "channel limit";
        InappropriateProtocol = 3506, "inappropriate_protocol", "inappropriate protocol";
        PermissionDenied = 3507, "permission_denied", "permission denied";
        NotAvailable = 3508, "not_available", "not available";
        TooManyErrors = 3509, "too_many_errors", "too many errors";
    }
}

impl DisconnectCode {
    /// Whether SDKs stay away instead of reconnecting.
    pub const fn terminal(self) -> bool {
        self.code() >= 3500
    }
}

#[cfg(test)]
mod tests;
