//! Who else is in a room: asked by a command, and told as members come and go.

use std::{rc::Rc, sync::Arc};

use bytes::Bytes;
use natter_protocol::{ChannelRequest, ClientInfo, ErrorCode, PresenceStats, ReplyBody};
use tracing::{Level, warn};
use uuid::Uuid;

use super::{Refusal, Session};
use crate::{
    channel::Channel,
    permission::Operation,
    presence::{Member, PresenceError, Told, with_infos},
    room::Room,
    worker::Worker,
};

/// Bytes that a member takes in an answer, about.
const MEMBER_SIZE: usize = 128;

impl Session {
    /// The session is a member of the room from now on.
    pub(super) fn appear(&self, worker: &Worker, room: &Room) -> bool {
        let namespace = room.namespace();
        let keeps = namespace.keeps_members();
        if keeps {
            let mut buffer = Uuid::encode_buffer();
            let infos = self.short_infos(worker, &room.channel);
            let member = Member::new(self.id, &self.client_info(&mut buffer, &infos));
            worker.gateway.presence.join(&room.channel, &namespace, member);
        }
        keeps
    }

    /// Something else is said of it from now on.
    pub(super) fn reappear(&self, worker: &Worker) {
        let rooms = self.subscriptions.borrow().present();
        for room in rooms {
            self.appear(worker, &room);
        }
    }

    /// What others are told about it, without what is too long for every gateway to keep.
    fn short_infos(&self, worker: &Worker, channel: &str) -> (Bytes, Bytes) {
        let gateway = &worker.gateway;
        let limit = gateway.presence_info_limit();
        let short = |info: Bytes| {
            if info.len() <= limit {
                return info;
            }
            gateway.metrics.presence.left_out.inc();
            if gateway.log_budget.cause("presence_info", Level::WARN).admit() {
                warn!(
                    channel,
                    bytes = info.len(),
                    limit,
                    "left out what is said of a member of a room"
                );
            }
            Bytes::new()
        };
        let (everywhere, here) = self.infos(channel);
        (short(everywhere), short(here))
    }

    /// What others are told about it, with the `infos` of it wherever it is and in a room.
    pub(super) fn client_info<'a>(
        &'a self,
        buffer: &'a mut [u8],
        (everywhere, here): &'a (Bytes, Bytes),
    ) -> ClientInfo<'a> {
        ClientInfo {
            user: self.user(),
            client: self.id.hyphenated().encode_lower(buffer),
            conn_info: text(everywhere),
            chan_info: text(here),
        }
    }

    pub(super) fn presence(self: &Rc<Self>, worker: &Rc<Worker>, id: u32, request: &ChannelRequest<'_>) {
        let Some(limit) = self.may_ask(worker, id, "presence", request) else {
            return;
        };
        match worker
            .gateway
            .presence
            .members_here(&worker.gateway, &request.channel)
        {
            Ok(Some(members)) => {
                worker.gateway.metrics.presence.read_here();
                let room = self.check_room(worker, &members);
                match room.and_then(|size| self.may_read_bytes(worker, size)) {
                    Ok(()) => with_infos(&members, |infos| {
                        self.reply(worker, id, ReplyBody::Presence(infos));
                    }),
                    Err(code) => self.reply_error(worker, id, "presence", code),
                }
            }
            Ok(None) => self.ask_for_members(worker, id, request.channel.as_ref().into(), limit),
            Err(error) => self.reply_error(worker, id, "presence", refusal(error)),
        }
    }

    fn ask_for_members(self: &Rc<Self>, worker: &Rc<Worker>, id: u32, channel: Channel, limit: usize) {
        let open = match self.open_read(worker) {
            Ok(open) => open,
            Err(code) => return self.reply_error(worker, id, "presence", code),
        };
        let slot = self.defer_reply(id);
        let (session, worker) = (self.clone(), worker.clone());
        tokio::task::spawn_local(async move {
            let asked = async {
                let _turn = open.turn(&worker.gateway.limiter).await?;
                worker.gateway.members(&channel, limit).await.map_err(refusal)
            };
            let members = asked.await;
            // It may be kept out of the room since it asked.
            let members = session
                .may_be_given(&worker, &channel, Operation::Presence)
                .map_err(Refusal::from)
                .and(members);
            let fitting = members.and_then(|members| {
                open.listed(&worker.gateway.limiter, session.check_room(&worker, &members)?);
                Ok(members)
            });
            match fitting {
                Ok(members) => with_infos(&members, |infos| {
                    session.complete(&worker, slot, ReplyBody::Presence(infos));
                }),
                Err(refusal) => session.complete_refused(&worker, slot, "presence", refusal),
            }
        });
    }

    pub(super) fn presence_stats(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        id: u32,
        request: &ChannelRequest<'_>,
    ) {
        let Some(limit) = self.may_ask(worker, id, "presence_stats", request) else {
            return;
        };
        match worker
            .gateway
            .presence
            .stats_here(&worker.gateway, &request.channel)
        {
            Ok(Some(stats)) => {
                worker.gateway.metrics.presence.read_here();
                self.reply(worker, id, ReplyBody::PresenceStats(stats));
            }
            Ok(None) => self.ask_for_stats(worker, id, request.channel.as_ref().into(), limit),
            Err(error) => self.reply_error(worker, id, "presence_stats", refusal(error)),
        }
    }

    fn ask_for_stats(self: &Rc<Self>, worker: &Rc<Worker>, id: u32, channel: Channel, limit: usize) {
        let open = match self.open_read(worker) {
            Ok(open) => open,
            Err(code) => return self.reply_error(worker, id, "presence_stats", code),
        };
        let slot = self.defer_reply(id);
        let (session, worker) = (self.clone(), worker.clone());
        tokio::task::spawn_local(async move {
            let asked = async {
                let _turn = open.turn(&worker.gateway.limiter).await?;
                worker
                    .gateway
                    .member_stats(&channel, limit)
                    .await
                    .map_err(refusal)
            };
            let stats = asked.await;
            // As above.
            let stats: Result<PresenceStats, _> = session
                .may_be_given(&worker, &channel, Operation::Presence)
                .map_err(Refusal::from)
                .and(stats);
            match stats {
                Ok(stats) => session.complete(&worker, slot, ReplyBody::PresenceStats(stats)),
                Err(refusal) => session.complete_refused(&worker, slot, "presence_stats", refusal),
            }
        });
    }

    /// How many members the room may have to be listed; `None` when the command was answered.
    fn may_ask(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        id: u32,
        command: &'static str,
        request: &ChannelRequest<'_>,
    ) -> Option<usize> {
        if request.channel.is_empty() {
            self.refuse(worker, "missing_channel");
            return None;
        }
        let namespace = worker.live().namespace(&request.channel).cloned();
        let judged = namespace.and_then(|namespace| {
            self.may_read_now(worker)?;
            let limit = worker.gateway.presence_limit(&namespace);
            // Of a room that keeps no presence everybody is told that.
            if limit != Err(ErrorCode::NotAvailable) {
                self.may_be_given(worker, &request.channel, Operation::Presence)?;
            }
            limit
        });
        judged
            .map_err(|code| self.reply_error(worker, id, command, code))
            .ok()
    }

    /// The size of an answer. A client that does not read its answers gets no more of them for now.
    fn check_room(self: &Rc<Self>, worker: &Rc<Worker>, members: &[Arc<Member>]) -> Result<usize, ErrorCode> {
        let size = members.len() * MEMBER_SIZE;
        let has_room = self.has_room_for_bytes(worker, size);
        has_room.then_some(size).ok_or(ErrorCode::TooManyRequests)
    }

    /// Queues joins and leaves for a member that wants them; whoever reads too slowly goes without.
    pub fn tell_joins(self: &Rc<Self>, worker: &Rc<Worker>, room: &Rc<Room>, told: &Told) {
        let wants = self
            .subscriptions
            .borrow_mut()
            .of_room(room)
            .is_some_and(|subscription| subscription.listens && subscription.held.is_none());
        if wants {
            let taken = self.push_spare(worker, told.frame(self.wire));
            worker.gateway.metrics.presence.pushed(told.len(), taken);
        }
    }
}

fn refusal(error: PresenceError) -> Refusal {
    match error {
        PresenceError::TooLarge => Refusal::because(
            error.code(),
            "the room has more members than presence_limit: ask for presence_stats",
        ),
        _ => error.code().into(),
    }
}

/// What is told of a client as a JSON text, if there is any.
fn text(info: &Bytes) -> Option<&str> {
    let text = std::str::from_utf8(info).ok();
    text.filter(|text| !text.is_empty())
}
