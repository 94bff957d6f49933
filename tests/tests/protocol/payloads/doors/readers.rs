//! Everybody who can see a message: members, who reads history, who comes back, and backends.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use base64::{Engine, prelude::BASE64_STANDARD};
use natter_tests::gateway::{API_KEY, Gateway};
use natter_tests::raw::Frame;
use serde_json::{json, value::RawValue};

use crate::payloads::bytes::{BytesClient, messages::Command, messages::Publication};
use crate::raw_member::RawMember;

/// The readers of a room that nobody has said anything in.
pub(super) struct Readers<'a> {
    gateway: &'a Gateway,
    pub(super) room: &'a str,
    /// Not in a room of bytes.
    texts: Option<RawMember>,
    bytes: BytesClient,
}

/// Who reads, and what.
type Read = (&'static str, Vec<u8>);

impl<'a> Readers<'a> {
    pub(super) async fn join(gateway: &'a Gateway, room: &'a str, is_binary: bool) -> Result<Self> {
        Ok(Self {
            gateway,
            room,
            texts: if is_binary {
                None
            } else {
                Some(RawMember::join(gateway, room).await?)
            },
            bytes: BytesClient::member(gateway, room).await?,
        })
    }

    /// The one message of the room, as each of them gets it.
    pub(super) async fn everything(&mut self) -> Result<Vec<Read>> {
        let mut read = vec![("a member that speaks Protobuf", self.bytes.heard().await?)];
        if let Some(member) = &mut self.texts {
            let push = member.text().await?;
            let data = at(&push, &["push", "pub", "data"])?;
            read.push(("a member that speaks JSON", data.as_bytes().to_vec()));
        }
        for (reader, messages) in self.kept().await?.into_iter().chain(self.recovered().await?) {
            let [message] =
                <[_; 1]>::try_from(messages).map_err(|all| anyhow::anyhow!("{reader} has {all:?}"))?;
            read.push((reader, message));
        }
        Ok(read)
    }

    /// Makes sure that nobody was given anything.
    pub(super) async fn nothing(&mut self) -> Result<()> {
        for (reader, messages) in self.kept().await? {
            ensure!(messages.is_empty(), "{reader} has {messages:?}");
        }
        ensure!(!self.bytes.has_unheard(), "a member heard something");
        Ok(())
    }

    /// What those have who read the room's history.
    async fn kept(&mut self) -> Result<Vec<(&'static str, Vec<Vec<u8>>)>> {
        let history = self.bytes.request(Command::history(self.room)).await?;
        let history = history.history.context("no history")?;
        let mut kept = vec![("history for Protobuf", datas(history.publications))];
        if let Some(member) = &mut self.texts {
            let command = json!({ "id": 5, "history": { "channel": self.room, "limit": 10 } });
            let page = ask(member, &command.to_string()).await?;
            let page = at(&page, &["history", "publications"])?;
            kept.push(("history for JSON", texts(page, false)?));
        }
        let is_binary = self.texts.is_none();
        let request = json!({ "channel": self.room, "limit": 10 }).to_string();
        let (_, page) = self.gateway.api_raw("history", Some(API_KEY), request).await?;
        let page = at(&page, &["result", "publications"])?;
        kept.push(("the server API", texts(page, is_binary)?));
        let list = format!("/v1/rooms/{}/messages?api_key={API_KEY}", self.room);
        let (_, page) = self.gateway.get(&(self.gateway.http_url() + &list)).await?;
        kept.push(("/v1", texts(at(&page, &["messages"])?, is_binary)?));
        Ok(kept)
    }

    /// What those get who come back.
    async fn recovered(&mut self) -> Result<Vec<(&'static str, Vec<Vec<u8>>)>> {
        let history = self.bytes.request(Command::history(self.room)).await?;
        let epoch = history.history.context("no history")?.epoch;
        self.bytes.request(Command::unsubscribe(self.room)).await?;
        let reply = self.bytes.request(Command::recover(self.room, &epoch)).await?;
        let missed = reply.subscribe.clone().with_context(|| format!("{reply:?}"))?;
        ensure!(missed.recovered, "{reply:?}");
        let mut recovered = vec![("recovery for Protobuf", datas(missed.publications))];
        if let Some(member) = &mut self.texts {
            let leave = json!({ "id": 6, "unsubscribe": { "channel": self.room } });
            ask(member, &leave.to_string()).await?;
            let wanted =
                json!({ "channel": self.room, "recover": true, "recoverable": true, "epoch": epoch });
            let reply = ask(member, &json!({ "id": 7, "subscribe": wanted }).to_string()).await?;
            let page = at(&reply, &["subscribe", "publications"])?;
            recovered.push(("recovery for JSON", texts(page, false)?));
        }
        Ok(recovered)
    }
}

fn datas(publications: Vec<Publication>) -> Vec<Vec<u8>> {
    publications
        .into_iter()
        .map(|publication| publication.data)
        .collect()
}

async fn ask(member: &mut RawMember, command: &str) -> Result<String> {
    member.socket.write_frame(&Frame::text(command)).await?;
    member.text().await
}

/// What stands behind names in objects, letter by letter.
fn at<'a>(text: &'a str, path: &[&str]) -> Result<&'a str> {
    path.iter().try_fold(text, |text, name| {
        let object: BTreeMap<&str, &RawValue> =
            serde_json::from_str(text).with_context(|| text.to_owned())?;
        let value = object.get(name).with_context(|| format!("no {name} in {text}"))?;
        Ok(value.get())
    })
}

/// The data of a list of publications; of bytes there is the base64, and no other.
fn texts(list: &str, is_binary: bool) -> Result<Vec<Vec<u8>>> {
    let list: Vec<&RawValue> = serde_json::from_str(list)?;
    let text = |item: &&RawValue| {
        if !is_binary {
            return Ok(at(item.get(), &["data"])?.as_bytes().to_vec());
        }
        ensure!(at(item.get(), &["data"]).is_err(), "{item}");
        let encoded: String = serde_json::from_str(at(item.get(), &["b64data"])?)?;
        Ok(BASE64_STANDARD.decode(encoded)?)
    };
    list.iter().map(text).collect()
}
