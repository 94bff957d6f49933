//! One member of the room, before and after: what it has, and what is wrong with it.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use anyhow::{Context, ensure};
use memchr::memmem;
use serde::Deserialize;

use crate::{
    caller::{Caller, Place},
    protocol::Event,
    run::Run,
    stamp::StampFinder,
};

#[derive(Debug, Default)]
pub(super) struct Member {
    place: RefCell<Option<Place>>,
    /// Number of the last message; `None` before the first.
    last: Cell<Option<u32>>,
    recovered: Cell<u64>,
    fault: RefCell<Option<String>>,
}

#[derive(Deserialize)]
struct Reply<'a> {
    #[serde(borrow)]
    subscribe: Subscribed<'a>,
}

#[derive(Deserialize)]
struct Subscribed<'a> {
    epoch: &'a str,
    #[serde(default)]
    offset: u64,
    #[serde(default)]
    recovered: bool,
    #[serde(default, borrow)]
    publications: Vec<Publication<'a>>,
}

#[derive(Deserialize)]
struct Publication<'a> {
    offset: u64,
    #[serde(borrow)]
    data: &'a serde_json::value::RawValue,
}

impl Member {
    /// Connects and joins, from where it was.
    pub(super) async fn open(
        self: &Rc<Self>,
        gateway: &Rc<Run>,
        number: usize,
        room: &str,
    ) -> anyhow::Result<Caller> {
        let (member, mut finder) = (self.clone(), StampFinder::default());
        let place = self.place.borrow().clone();
        let again = place.is_some();
        // Here and not where the answer is waited for: by then messages behind it may have been heard.
        let heard = move |event: &Event<'_>| match event {
            Event::Delivered(text) => member.pushed(&mut finder, text),
            Event::Answered(text) if memmem::find(text, br#""subscribe":{"#).is_some() => {
                if let Err(error) = member.joined(text, again) {
                    member.wrong(|| format!("{error:#}"));
                }
            }
            _ => {}
        };
        let caller = Caller::by_socket(gateway, number, heard).await?;
        caller.join(room, place.as_ref()).await?;
        Ok(caller)
    }

    fn joined(&self, reply: &[u8], again: bool) -> anyhow::Result<()> {
        let Reply { subscribe } = serde_json::from_slice(reply)
            .with_context(|| format!("unreadable: {}", String::from_utf8_lossy(reply)))?;
        ensure!(
            subscribe.recovered == again,
            "recovered is {}: {}",
            subscribe.recovered,
            String::from_utf8_lossy(reply)
        );
        *self.place.borrow_mut() = Some(Place {
            epoch: subscribe.epoch.to_owned(),
            offset: subscribe.offset,
        });
        let mut finder = StampFinder::default();
        self.recovered
            .set(self.recovered.get() + subscribe.publications.len() as u64);
        for publication in subscribe.publications {
            let stamp = finder.find(publication.data.get().as_bytes());
            self.got(
                stamp.context("a message without a stamp")?.number,
                publication.offset,
            );
        }
        Ok(())
    }

    fn pushed(&self, finder: &mut StampFinder, text: &[u8]) {
        match finder.find(text).zip(offset(text)) {
            Some((stamp, offset)) => self.got(stamp.number, offset),
            None => self.wrong(|| format!("unexpected: {}", String::from_utf8_lossy(text))),
        }
    }

    fn got(&self, number: u32, offset: u64) {
        if let Some(last) = self.last.replace(Some(number)).filter(|last| *last + 1 != number) {
            self.wrong(|| format!("message {number} follows {last}"));
        }
        if let Some(place) = self.place.borrow_mut().as_mut() {
            place.offset = offset;
        }
    }

    fn wrong(&self, what: impl FnOnce() -> String) {
        self.fault.borrow_mut().get_or_insert_with(what);
    }

    pub(super) fn has(&self, number: u32) -> bool {
        self.last.get() == Some(number)
    }

    /// Messages that its return brought.
    pub(super) fn recovered(&self) -> u64 {
        self.recovered.get()
    }

    /// What is wrong, when `last` is the last message.
    pub(super) fn fault(&self, last: u32) -> Option<String> {
        let missing = || (!self.has(last)).then(|| format!("ends at {:?}, not {last}", self.last.get()));
        self.fault.borrow().clone().or_else(missing)
    }
}

/// The offset of a publication; it stands behind the data.
fn offset(push: &[u8]) -> Option<u64> {
    const NAME: &[u8] = br#""offset":"#;
    let digits = &push[memmem::rfind(push, NAME)? + NAME.len()..];
    let end = digits.iter().position(|digit| !digit.is_ascii_digit())?;
    str::from_utf8(&digits[..end]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stamp::Stamp;

    fn push(number: u32, offset: u64) -> String {
        let data = Stamp { due: 0, number }.message(100);
        format!(r#"{{"push":{{"channel":"durable:a","pub":{{"data":{data},"offset":{offset}}}}}}}"#)
    }

    #[test]
    fn a_member_knows_what_it_has_and_what_it_misses() {
        let (member, mut finder) = (Member::default(), StampFinder::default());
        let join = br#"{"id":2,"subscribe":{"recoverable":true,"epoch":"e","offset":4,"positioned":true}}"#;
        member.joined(join, false).unwrap();
        member.pushed(&mut finder, push(8, 5).as_bytes());
        assert_eq!(member.place.borrow().as_ref().unwrap().offset, 5);
        let data = Stamp { due: 0, number: 9 }.message(100);
        let again = format!(
            r#"{{"id":2,"subscribe":{{"epoch":"e","offset":5,"recovered":true,"publications":[{{"data":{data},"offset":9}}]}}}}"#
        );
        member.joined(again.as_bytes(), true).unwrap();
        assert_eq!(member.place.borrow().as_ref().unwrap().offset, 9);
        assert_eq!((member.recovered(), member.fault(9)), (1, None));
        assert!(member.fault(10).is_some());
        member.pushed(&mut finder, push(11, 10).as_bytes());
        assert_eq!(member.fault(11).unwrap(), "message 11 follows 9");
        assert!(member.joined(join, true).is_err(), "it was not recovered");
    }
}
