//! Reading the history of a durable room on a client's command.

use std::{rc::Rc, sync::Arc};

use natter_protocol::{ErrorCode, HistoryRequest, HistoryResult, ReplyBody};

use super::{OpenRead, Refusal, Session};
use crate::{
    bus::{BoxFuture, BusError},
    channel::Channel,
    gateway::error_code,
    history::{self, Page, Query},
    permission::Operation,
    wire::Wire,
    worker::Worker,
};

/// A read of a room under way, and the epoch that the client counts in, if it named one.
struct Reading {
    channel: Channel,
    page: BoxFuture<Result<Page, BusError>>,
    epoch: String,
    open: OpenRead,
}

impl Session {
    pub(super) fn history(self: &Rc<Self>, worker: &Rc<Worker>, id: u32, request: &HistoryRequest<'_>) {
        if request.channel.is_empty() {
            return self.refuse(worker, "missing_channel");
        }
        let reading = self
            .may_read_now(worker)
            .map_err(Refusal::from)
            .and_then(|()| self.start_reading(worker, request));
        match reading {
            Ok(reading) => self.reply_when_read(worker, id, reading),
            Err(error) => self.reply_error(worker, id, "history", error),
        }
    }

    fn start_reading(&self, worker: &Worker, request: &HistoryRequest<'_>) -> Result<Reading, Refusal> {
        let live = worker.live();
        let namespace = live.namespace(&request.channel)?;
        let policy = namespace.history.as_ref().ok_or(ErrorCode::NotAvailable)?;
        self.may_be_given(worker, &request.channel, Operation::History)?;
        self.check_encoding(namespace)?;
        let bus = worker.gateway.bus().ok_or(ErrorCode::Internal)?;
        // Nothing comes before it, as in the server API.
        if request.reverse && request.since.as_ref().is_some_and(|since| since.offset == 0) {
            return Err(ErrorCode::BadRequest.into());
        }
        let query = Query {
            since: request.since.as_ref().map(|since| since.offset),
            limit: history::page_limit(request.limit, live.settings.client.history_limit),
            reverse: request.reverse,
        };
        let epoch = request
            .since
            .as_ref()
            .map(|since| since.epoch.to_string())
            .unwrap_or_default();
        Ok(Reading {
            channel: Channel::from(&*request.channel),
            page: worker.gateway.reads.page(bus, &request.channel, policy, query),
            epoch,
            open: self.open_read(worker)?,
        })
    }

    fn reply_when_read(self: &Rc<Self>, worker: &Rc<Worker>, id: u32, reading: Reading) {
        let slot = self.defer_reply(id);
        let (session, worker) = (self.clone(), worker.clone());
        tokio::task::spawn_local(async move {
            let Reading {
                page,
                channel,
                epoch,
                open,
            } = reading;
            let limiter = &worker.gateway.limiter;
            let page = async {
                let _turn = open.turn(limiter).await?;
                let page = page.await.map_err(error_code)?;
                open.brought(limiter, &page);
                Ok::<_, ErrorCode>(page)
            };
            let page = page.await.and_then(|page| {
                let page = page.in_epoch(&epoch).ok_or(ErrorCode::UnrecoverablePosition)?;
                session.may_be_given(&worker, &channel, Operation::History)?;
                let has_room = session.has_room_for(&worker, &page.publications);
                has_room.then_some(page).ok_or(ErrorCode::TooManyRequests)
            });
            match &page {
                Ok(page) => session.complete(
                    &worker,
                    slot,
                    ReplyBody::History(result(page, &publications(page, session.wire))),
                ),
                Err(error) => session.complete_refused(&worker, slot, "history", *error),
            }
        });
    }
}

fn publications(page: &Page, wire: Wire) -> Vec<natter_protocol::Publication<'_>> {
    page.publications
        .iter()
        .map(Arc::as_ref)
        .filter(|publication| wire.takes(publication))
        .map(crate::publication::Publication::as_protocol)
        .collect()
}

fn result<'a>(page: &'a Page, publications: &'a [natter_protocol::Publication<'a>]) -> HistoryResult<'a> {
    HistoryResult {
        publications,
        epoch: page.head.epoch.as_str(),
        offset: page.head.offset,
    }
}
