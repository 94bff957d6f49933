//! Several calls in one request: the method `batch`, and commands on `POST /api`, the form that Centrifugo had before its
//! methods got paths and keeps until its version 7.
//!
//! Every command has an answer of its own, whatever becomes of the others. They are carried out one after another; a
//! batch may ask for them to run side by side.

mod read;

use futures_util::{StreamExt, stream::FuturesOrdered};
use http::StatusCode;
use natter_protocol::ErrorCode;
use tokio::{task::yield_now, time::Instant};

use self::read::Command;
use super::{
    Answer, Outcome, UNKNOWN_METHOD, answer, answer_body,
    publish::SLICE,
    refusal::Refusal,
    request::{Call, RpcRequest},
};

/// Commands of one request.
const MAX_COMMANDS: usize = 10_000;
/// Once the answers have so many bytes, the commands that are left are not carried out (106).
const MAX_REPLIES: usize = 16 << 20;
/// Places for commands of a batch that run side by side: together they leave most of what the bus takes to others.
const PLACES: usize = 256;
/// Places of a command that publishes into many rooms, or whose answer may have megabytes.
const LARGE: usize = 64;
const LARGE_METHODS: [&str; 4] = ["broadcast", "history", "channels", "revocations"];

impl Call<'_> {
    pub(super) async fn batch(&self, body: &[u8]) -> serde_json::Result<Outcome> {
        let (commands, parallel) = read::batch(body)?;
        let places = if parallel { PLACES } else { 1 };
        Ok(self.carry_out(commands, places, Form::Batch).await)
    }

    pub(super) async fn commands(&self, body: &[u8]) -> serde_json::Result<Outcome> {
        Ok(self.carry_out(read::lines(body)?, 1, Form::Lines).await)
    }

    /// So far there is nobody to hand a call on to.
    #[expect(clippy::unused_self, reason = "every method is called alike")]
    pub(super) fn rpc(&self, request: &RpcRequest) -> Answer {
        if request.method.is_empty() {
            return Err(Refusal::bad("`method` is missing"));
        }
        Err(ErrorCode::MethodNotFound.into())
    }

    /// Starts a command as soon as there are places for it; answers stand in the order of the commands.
    async fn carry_out(&self, commands: Vec<Command<'_>>, places: usize, form: Form) -> Outcome {
        if commands.len() > MAX_COMMANDS {
            let text = format!("there are more than {MAX_COMMANDS} commands\n");
            return Outcome::Status(StatusCode::PAYLOAD_TOO_LARGE, text.into());
        }
        let mut body = form.opening().to_vec();
        let mut running = FuturesOrdered::new();
        let mut free = places;
        for (index, command) in commands.into_iter().enumerate() {
            let own = command.places().min(places);
            while free < own
                && let Some((freed, reply)) = running.next().await
            {
                free += freed;
                form.put(&mut body, reply);
            }
            free -= own;
            let is_full = body.len() >= MAX_REPLIES;
            running.push_back(async move { (own, self.reply(command, is_full, form).await) });
            if index % SLICE == SLICE - 1 {
                yield_now().await;
            }
        }
        while let Some((_, reply)) = running.next().await {
            form.put(&mut body, reply);
        }
        body.extend_from_slice(form.closing());
        Outcome::Replies(body)
    }

    /// Each command counts as a request to its method.
    async fn reply(&self, command: Command<'_>, is_full: bool, form: Form) -> Vec<u8> {
        let began = Instant::now();
        let label = command.method.as_ref().map_or(UNKNOWN_METHOD, |method| method);
        let answer = match command.method {
            Ok(_) if is_full => Err(ErrorCode::LimitExceeded.into()),
            Ok(method) => answer(self, method, command.params)
                .await
                .unwrap_or_else(|error| Err(Refusal::bad(format!("{method}: {error}")))),
            Err(refusal) => Err(refusal),
        };
        let code = answer.as_ref().err().map_or(0, |refusal| refusal.code().code());
        self.gateway.metrics.api.answered(label, code, began.elapsed());
        form.reply(command.id, label, answer)
    }
}

impl Command<'_> {
    fn places(&self) -> usize {
        match self.method {
            Ok(method) if LARGE_METHODS.contains(&method) => LARGE,
            _ => 1,
        }
    }
}

/// How answers stand in a body.
#[derive(Clone, Copy)]
enum Form {
    /// An array of objects that name the method.
    Batch,
    /// One a line, with the id of its command.
    Lines,
}

impl Form {
    fn opening(self) -> &'static [u8] {
        match self {
            Self::Batch => b"{\"replies\":[",
            Self::Lines => b"",
        }
    }

    fn closing(self) -> &'static [u8] {
        match self {
            Self::Batch => b"]}",
            Self::Lines => b"",
        }
    }

    fn put(self, body: &mut Vec<u8>, reply: Vec<u8>) {
        if body.len() > self.opening().len() {
            body.push(match self {
                Self::Batch => b',',
                Self::Lines => b'\n',
            });
        }
        body.extend(reply);
    }

    fn reply(self, id: u32, method: &str, answer: Answer) -> Vec<u8> {
        match (self, answer) {
            (Self::Batch, Ok(result)) => {
                [b"{\"", method.as_bytes(), b"\":", result.as_slice(), b"}"].concat()
            }
            (Self::Lines, answer) if id != 0 => {
                let body = answer_body(answer);
                [format!("{{\"id\":{id},").as_bytes(), &body[1..]].concat()
            }
            (_, answer) => answer_body(answer),
        }
    }
}
