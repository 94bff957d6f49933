//! The timed side of a session: one entry in the worker's timer wheel, whatever it waits for.

use std::{rc::Rc, time::Duration};

use natter_protocol::DisconnectCode;

use super::{Ending, Phase, Session};
use crate::{config::ClientSettings, worker::Worker};

/// What the running timer of a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heartbeat {
    /// The connect command has to come.
    AwaitingConnect,
    /// Time until the next ping.
    Quiet,
    /// A ping was sent and is not answered yet.
    AwaitingPong,
    /// The pong came; the timer still runs for the ping it answers.
    Answered,
    /// The close frame was sent; the peer has to close.
    Closing,
}

/// What to do when the timer fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Ping { next: Duration },
    Wait { next: Duration },
    End(DisconnectCode),
    Go,
}

impl Heartbeat {
    /// `answers` says whether the client answers pings: from a stream that would be a request each time, and one that does
    /// not take them is found out by the kernel.
    fn due(self, settings: &ClientSettings, answers: bool) -> (Self, Due) {
        match self {
            Self::AwaitingConnect => (self, Due::End(DisconnectCode::Stale)),
            Self::Quiet if !answers => (
                self,
                Due::Ping {
                    next: settings.ping_interval,
                },
            ),
            Self::Quiet => (
                Self::AwaitingPong,
                Due::Ping {
                    next: settings.pong_timeout,
                },
            ),
            Self::AwaitingPong => (self, Due::End(DisconnectCode::NoPong)),
            Self::Answered => (
                Self::Quiet,
                Due::Wait {
                    next: settings.ping_interval.saturating_sub(settings.pong_timeout),
                },
            ),
            Self::Closing => (self, Due::Go),
        }
    }
}

impl Session {
    pub(super) fn start_heartbeat(self: &Rc<Self>, worker: &Rc<Worker>) {
        worker.schedule(self, worker.live().settings.client.stale_timeout);
    }

    /// The connect command came: the first ping comes after a half to one interval, so that the pings of
    /// clients that came together spread.
    pub(super) fn start_pings(self: &Rc<Self>, worker: &Rc<Worker>) {
        if self.is_over() {
            // The timer is the close's by now.
            return;
        }
        let interval = worker.live().settings.client.ping_interval;
        self.heartbeat.set(Heartbeat::Quiet);
        self.rest(worker, interval.mul_f64(0.5 + 0.5 * fastrand::f64()));
    }

    /// A pong came; one that nobody asked for is against the protocol.
    pub(super) fn pong(self: &Rc<Self>, worker: &Rc<Worker>) {
        if self.heartbeat.get() == Heartbeat::AwaitingPong {
            self.heartbeat.set(Heartbeat::Answered);
        } else {
            self.refuse(worker, "unexpected_pong");
        }
    }

    pub(super) fn await_close(self: &Rc<Self>, worker: &Rc<Worker>) {
        self.heartbeat.set(Heartbeat::Closing);
        worker.schedule(self, worker.live().settings.client.close_timeout);
    }

    /// The session's timer fired.
    pub fn timer_fired(self: &Rc<Self>, worker: &Rc<Worker>) {
        if self.phase.get() == Phase::Gone {
            return;
        }
        if self.end_what_expired(worker) {
            return;
        }
        if self.is_connecting() {
            // The answer comes first, or the end of what it waits for.
            let interval = worker.live().settings.client.ping_interval;
            return self.rest(worker, interval);
        }
        let (heartbeat, due) = self
            .heartbeat
            .get()
            .due(&worker.live().settings.client, self.answers_pings());
        self.heartbeat.set(heartbeat);
        match due {
            Due::Ping { next } => {
                self.rest(worker, next);
                self.push(worker, worker.ping_frame(self.wire));
            }
            Due::Wait { next } => self.rest(worker, next),
            Due::End(DisconnectCode::NoPong) => {
                let code = self.why_no_pong(worker);
                self.end(worker, &Ending::Disconnect(code));
            }
            Due::End(code) => self.end(worker, &Ending::Disconnect(code)),
            Due::Go => self.go(worker),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    #[test]
    fn a_client_that_answers_is_pinged_every_interval() {
        let settings = Settings::default().client;
        let (asked, due) = Heartbeat::Quiet.due(&settings, true);
        assert_eq!(
            due,
            Due::Ping {
                next: settings.pong_timeout
            }
        );
        assert_eq!(asked, Heartbeat::AwaitingPong);
        let (quiet, due) = Heartbeat::Answered.due(&settings, true);
        assert_eq!(
            due,
            Due::Wait {
                next: Duration::from_secs(25 - 8)
            }
        );
        assert_eq!(quiet, Heartbeat::Quiet);
    }

    #[test]
    fn a_stream_is_pinged_and_need_not_answer() {
        let settings = Settings::default().client;
        let ping = Due::Ping {
            next: settings.ping_interval,
        };
        assert_eq!(Heartbeat::Quiet.due(&settings, false), (Heartbeat::Quiet, ping));
    }

    #[test]
    fn silence_ends_the_session_by_name() {
        let settings = Settings::default().client;
        assert_eq!(
            Heartbeat::AwaitingConnect.due(&settings, true).1,
            Due::End(DisconnectCode::Stale)
        );
        assert_eq!(
            Heartbeat::AwaitingPong.due(&settings, true).1,
            Due::End(DisconnectCode::NoPong)
        );
        assert_eq!(Heartbeat::Closing.due(&settings, true).1, Due::Go);
    }
}
