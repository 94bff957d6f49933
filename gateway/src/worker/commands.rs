//! Orders that concern connections by user or by client: from the server API, from a drain and from control calls.

use std::{collections::HashMap, rc::Rc};

use natter_protocol::{DisconnectCode, ErrorCode, UnsubscribeCode};
use tracing::{Level, debug, info};

use super::Worker;
use crate::{
    cluster::{Command, Hearing, Order, Target},
    glob,
    grant::Grant,
    revocation::Concerned,
    session::{Ending, Refusal, Session, Wish},
};

impl Worker {
    pub(super) fn command(self: &Rc<Self>, command: &Command) {
        match command {
            Command::Order(order) => self.order(order),
            Command::CountRooms { pattern, answer } => {
                // Who asked may have given up.
                let _ = answer.send(self.count_rooms(pattern.as_deref()));
            }
            Command::Emulate { said, answer } => {
                let session = self.streams.borrow().get(&said.key.secret).cloned();
                let hearing = session.map_or(Hearing::Unknown, |session| session.hear(self, &said.data));
                let _ = answer.send(hearing);
            }
            Command::Judge { concerned, .. } => self.judge(concerned),
            Command::CloseAll(pace) => {
                let number = self.next_pace();
                tokio::task::spawn_local(self.clone().close_all(*pace, number));
            }
            Command::Shed(shed) => {
                let number = self.next_pace();
                tokio::task::spawn_local(self.clone().shed(shed.clone(), number));
            }
            Command::StopClosing => {
                self.next_pace();
            }
        }
    }

    fn order(self: &Rc<Self>, order: &Order) {
        match order {
            Order::Disconnect {
                target,
                whitelist,
                code,
                reason,
            } => {
                for session in self.targets(target) {
                    if !whitelist.contains(&session.id) {
                        session.end(
                            self,
                            &Ending::Chosen {
                                code: *code,
                                reason: reason.clone(),
                            },
                        );
                    }
                }
            }
            Order::Subscribe { target, grant } => self.subscribe(target, grant),
            Order::Refresh {
                target,
                expired,
                expire_at,
                info,
            } => {
                for session in self.targets(target) {
                    if *expired {
                        session.end(self, &Ending::Disconnect(DisconnectCode::Expired));
                    } else {
                        session.refresh_by_order(self, *expire_at, info);
                    }
                }
            }
            Order::Unsubscribe { target, channel } => {
                for session in self.targets(target) {
                    match channel {
                        Some(channel) => session.unsubscribe_with(self, channel, UnsubscribeCode::Server),
                        None => session.unsubscribe_all_by_server(self),
                    }
                }
            }
        }
    }

    fn subscribe(self: &Rc<Self>, target: &Target, grant: &Grant) {
        let wish = {
            let live = self.live();
            let namespace = live.namespace(&grant.channel);
            namespace.map(|namespace| Wish::granted(namespace, &grant.clone().into()))
        };
        for session in self.targets(target) {
            let joined = wish
                .as_ref()
                .map_err(|error| Refusal::from(*error))
                .and_then(|wish| session.join(self, &grant.channel, wish.clone()));
            if let Err(error) = joined {
                self.not_subscribed(&session, &grant.channel, error);
            }
        }
    }

    /// Whoever gave the order waits for no answer of ours.
    fn not_subscribed(&self, session: &Session, channel: &str, refusal: Refusal) {
        let (connection, code) = (session.id, refusal.code.code());
        if refusal.code == ErrorCode::AlreadySubscribed {
            debug!(%connection, channel, "stays subscribed as it is");
            return;
        }
        let cause = self.gateway.log_budget.cause("ordered_subscription", Level::INFO);
        if cause.admit() {
            info!(%connection, channel, code, reason = %refusal, "did not subscribe as the server API says");
        }
    }

    /// Holds connections against what is revoked.
    fn judge(self: &Rc<Self>, concerned: &Concerned) {
        let sessions: Vec<_> = {
            let sessions = self.sessions.borrow();
            let named = concerned.users.iter();
            let named = named.filter_map(|user| sessions.by_user.get(user.as_str()));
            let by_token = sessions.all.iter().map(|(_, session)| session);
            let by_token =
                by_token.filter(|session| !concerned.tokens.is_empty() && session.came_by(&concerned.tokens));
            named.flatten().chain(by_token).cloned().collect()
        };
        for session in sessions {
            session.judge_again(self);
        }
    }

    fn targets(&self, target: &Target) -> Vec<Rc<Session>> {
        let sessions = self.sessions.borrow();
        let is_meant = |session: &&Rc<Session>| {
            session.is_connected() && target.is(session.id, session.stream_key(self))
        };
        match &target.user {
            Some(user) => sessions
                .by_user
                .get(user.as_str())
                .into_iter()
                .flatten()
                .filter(is_meant)
                .cloned()
                .collect(),
            None => sessions
                .all
                .iter()
                .map(|(_, session)| session)
                .filter(is_meant)
                .cloned()
                .collect(),
        }
    }

    /// Rooms with members on this worker, and how many.
    fn count_rooms(&self, pattern: Option<&str>) -> HashMap<String, u64> {
        let rooms = self.rooms.borrow();
        rooms
            .values()
            .filter(|room| room.member_count() > 0)
            .filter(|room| pattern.is_none_or(|pattern| glob::matches(pattern, &room.channel)))
            .map(|room| (room.channel.to_string(), room.member_count() as u64))
            .collect()
    }
}
