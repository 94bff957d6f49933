//! permessage-deflate as clients offer it (RFC 6455 section 9.1, RFC 7692 sections 5.1 and 7.1).
//!
//! One client may make several offers, the best first. The first that can be met is answered, always without context
//! takeover, which a server may ask of any client and may do without being asked. An offer that says something unknown,
//! wrong or twice is passed over (section 7), and so is one whose window is narrower than ours. What follows a
//! mistake in the grammar of a line is not looked at. A connection without an answer is simply not compressed.

mod input;
#[cfg(test)]
mod tests;

use http::{HeaderMap, HeaderValue, header::SEC_WEBSOCKET_EXTENSIONS};

use self::input::{Input, Malformed};
use crate::WINDOW_BITS;

/// The extension's name, and the answer to an offer that says nothing of our window.
const NAME: &str = "permessage-deflate";
const ANSWER: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
/// The answer to an offer that bounds our window, which must then say how wide it is ([`WINDOW_BITS`]).
const ANSWER_WITH_WINDOW: &str =
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=12";

/// The parameters that an offer may have (section 7.1).
const PARAMETERS: [&str; 4] = [
    "server_no_context_takeover",
    "client_no_context_takeover",
    SERVER_WINDOW,
    CLIENT_WINDOW,
];
const SERVER_WINDOW: &str = "server_max_window_bits";
const CLIENT_WINDOW: &str = "client_max_window_bits";

/// The value of `Sec-WebSocket-Extensions` that accepts compression, when the client offers one that can be met.
pub fn permessage_deflate(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut lines = headers.get_all(SEC_WEBSOCKET_EXTENSIONS).iter();
    let answer = lines.find_map(|line| answer(Input::new(line.as_bytes())))?;
    Some(HeaderValue::from_static(answer))
}

/// The answer to the first offer of a line that can be met.
fn answer(mut input: Input<'_>) -> Option<&'static str> {
    while input.skip_to_element() {
        match offer(&mut input) {
            Ok(None) => {}
            Ok(answer) => return answer,
            Err(Malformed) => return None,
        }
    }
    None
}

/// Reads one element of the list, and answers it if it can be met.
fn offer(input: &mut Input<'_>) -> Result<Option<&'static str>, Malformed> {
    let is_ours = input.token()? == NAME;
    let mut terms = Some(Terms::default());
    while input.eat(b';') {
        let name = input.token()?;
        let value = if input.eat(b'=') {
            Some(input.value()?)
        } else {
            None
        };
        terms = terms.and_then(|terms| terms.with(name, value.as_deref()));
    }
    input.end_element()?;
    Ok(terms.filter(|_| is_ours).map(|terms| terms.answer()))
}

/// What an offer asks for.
#[derive(Default)]
struct Terms {
    /// By the place in [`PARAMETERS`].
    said: [bool; PARAMETERS.len()],
}

impl Terms {
    /// `None` when the offer cannot be met with this parameter.
    fn with(mut self, name: &str, value: Option<&str>) -> Option<Self> {
        let place = PARAMETERS.iter().position(|known| *known == name)?;
        if std::mem::replace(&mut self.said[place], true) {
            return None;
        }
        let can_be_met = match (name, value) {
            (SERVER_WINDOW, Some(value)) => window_bits(value)? >= WINDOW_BITS,
            (SERVER_WINDOW, None) => false,
            // Any window fits into the inflater's.
            (CLIENT_WINDOW, Some(value)) => window_bits(value).is_some(),
            (_, value) => value.is_none(),
        };
        can_be_met.then_some(self)
    }

    fn answer(&self) -> &'static str {
        let [.., server_window, _client_window] = self.said;
        if server_window { ANSWER_WITH_WINDOW } else { ANSWER }
    }
}

/// 8 to 15, without zeros in front (sections 7.1.2.1 and 7.1.2.2).
fn window_bits(value: &str) -> Option<u8> {
    let is_plain = value.bytes().all(|byte| byte.is_ascii_digit()) && !value.starts_with('0');
    let bits = value.parse().ok().filter(|_| is_plain)?;
    (8..=15).contains(&bits).then_some(bits)
}
