//! The end of a cluster's streams.
//!
//! A stream is the cluster's when its name begins as only this cluster's do, or is that of its bucket, and a gateway has left its stamp in it. Streams
//! that an administrator owns (`stream.managed: false`) stay: gateways neither make nor change them.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{StreamInfo, settings};
use crate::bus::nats::jetstream::{
    JetStream,
    api::{CallError, STREAM_NAMES, Verb, code},
};

/// What one look at all streams came to.
#[derive(Debug, Default)]
pub(in crate::bus::nats) struct Removed {
    pub(in crate::bus::nats) deleted: Vec<DeletedStream>,
    /// Streams of the cluster's names that are not the gateways' to delete.
    pub(in crate::bus::nats) kept: Vec<String>,
}

/// A stream that is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedStream {
    pub name: String,
    /// Messages that went with it.
    pub messages: u64,
}

/// What becomes of one stream.
enum End {
    /// Somebody else deleted it meanwhile.
    Gone,
    Kept,
    Deleted {
        messages: u64,
    },
}

/// A page of the names of all streams of the account.
#[derive(Deserialize)]
struct Names {
    total: usize,
    #[serde(default)]
    streams: Option<Vec<String>>,
}

impl JetStream {
    /// Deletes the streams of this cluster, but for those of `unmanaged` namespaces; `deleted` is told of each. One that
    /// nobody answers for, because its servers are gone for example, keeps no other from going: the error comes last.
    pub(in crate::bus::nats) async fn delete_streams(
        &self,
        unmanaged: &[String],
        deleted: &mut impl FnMut(&DeletedStream),
    ) -> Result<Removed, CallError> {
        let (mut removed, mut failed) = (Removed::default(), None);
        for name in self.stream_names().await? {
            match self.end(&name, unmanaged).await {
                Ok(End::Gone) => {}
                Ok(End::Kept) => removed.kept.push(name),
                Ok(End::Deleted { messages }) => {
                    let stream = DeletedStream { name, messages };
                    deleted(&stream);
                    removed.deleted.push(stream);
                }
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(removed), Err)
    }

    async fn end(&self, stream: &str, unmanaged: &[String]) -> Result<End, CallError> {
        let Some(info) = self.stream_info(stream).await? else {
            return Ok(End::Gone);
        };
        if self.is_unmanaged(stream, &info, unmanaged) {
            return Ok(End::Kept);
        }
        self.delete_stream(stream).await?;
        Ok(End::Deleted {
            messages: info.state.messages,
        })
    }

    fn is_unmanaged(&self, stream: &str, info: &StreamInfo, unmanaged: &[String]) -> bool {
        let of = |namespace: &String| stream.starts_with(&self.subjects.namespace_streams(namespace));
        !settings::is_stamped(&info.config) || unmanaged.iter().any(of)
    }

    /// Names of the streams that only this cluster's can have, page by page, in order.
    async fn stream_names(&self) -> Result<BTreeSet<String>, CallError> {
        let (prefix, bucket) = (self.subjects.stream_prefix(), self.subjects.bucket_stream());
        let is_ours = |name: &String| name.starts_with(&prefix) || *name == bucket;
        let (mut names, mut offset) = (BTreeSet::new(), 0);
        loop {
            let wanted = json!({ "offset": offset });
            let page: Names = self.call_at(STREAM_NAMES.to_owned(), &wanted).await?;
            let page_of = page.streams.unwrap_or_default();
            offset += page_of.len();
            let done = page_of.is_empty() || offset >= page.total;
            names.extend(page_of.into_iter().filter(is_ours));
            if done {
                return Ok(names);
            }
        }
    }

    async fn delete_stream(&self, stream: &str) -> Result<(), CallError> {
        match self.call::<Value>(Verb::Delete, stream, &Value::Null).await {
            // Somebody else deleted it meanwhile.
            Err(CallError::Api(error)) if error.number == code::STREAM_NOT_FOUND => Ok(()),
            answer => answer.map(drop),
        }
    }
}
