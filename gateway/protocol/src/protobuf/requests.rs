//! The numbers of the fields of all requests, and how values are taken from fields.

use std::{borrow::Cow, collections::BTreeMap};

use super::reader::Field;
use crate::{
    command::{
        ChannelRequest, ConnectRequest, HistoryRequest, PublishRequest, RefreshRequest, RpcRequest,
        SendRequest, StreamPosition, SubRefreshRequest, SubscribeRequest, UnsubscribeRequest,
    },
    decode::DecodeError,
    emulation::Octets,
    payload::Payload,
};

/// A value that a field is merged into: scalars are replaced, messages take what is there.
pub(super) trait Merge<'a>: Default {
    fn merge_from(&mut self, field: &Field<'a>) -> Result<(), DecodeError>;
}

/// One line a message: the numbers and names of its fields.
macro_rules! messages {
    ($($message:ident { $($number:literal $field:ident),* })*) => {$(
        impl<'a> Merge<'a> for $message<'a> {
            fn merge_from(&mut self, field: &Field<'a>) -> Result<(), DecodeError> {
                let mut fields = field.message()?;
                while let Some(field) = fields.field()? {
                    match field.number {
                        $($number => self.$field.merge_from(&field)?,)*
                        _ => {}
                    }
                }
                Ok(())
            }
        }
    )*};
}

// The number of `idempotency_key`, which the Centrifuge protocol does not have, is far from those that it may give out.
messages! {
    ConnectRequest { 1 token, 2 data, 3 subs, 4 name, 5 version, 6 headers }
    SubscribeRequest {
        1 channel, 2 token, 3 recover, 6 epoch, 7 offset, 8 data, 9 positioned, 10 recoverable, 11 join_leave, 12 delta,
        13 tf, 14 flag
    }
    UnsubscribeRequest { 1 channel }
    PublishRequest { 1 channel, 2 data, 1000 idempotency_key }
    ChannelRequest { 1 channel }
    HistoryRequest { 1 channel, 7 limit, 8 since, 9 reverse }
    StreamPosition { 1 offset, 2 epoch }
    SendRequest { 1 data }
    RpcRequest { 1 data, 2 method }
    RefreshRequest { 1 token }
    SubRefreshRequest { 1 channel, 2 token }
    Octets { 1 node, 2 session, 3 data }
}

/// A message without fields of its own.
impl<'a> Merge<'a> for () {
    fn merge_from(&mut self, field: &Field<'a>) -> Result<(), DecodeError> {
        let mut fields = field.message()?;
        while fields.field()?.is_some() {}
        Ok(())
    }
}

impl<'a> Merge<'a> for Cow<'a, str> {
    fn merge_from(&mut self, field: &Field<'a>) -> Result<(), DecodeError> {
        *self = Cow::Borrowed(field.text()?);
        Ok(())
    }
}

/// Empty bytes and absent ones are the same in Protobuf.
impl<'a> Merge<'a> for Option<Payload<'a>> {
    fn merge_from(&mut self, field: &Field<'a>) -> Result<(), DecodeError> {
        let bytes = field.bytes()?;
        *self = (!bytes.is_empty()).then_some(Payload::Bytes(bytes));
        Ok(())
    }
}

impl<'a> Merge<'a> for Option<StreamPosition<'a>> {
    fn merge_from(&mut self, field: &Field<'a>) -> Result<(), DecodeError> {
        self.get_or_insert_default().merge_from(field)
    }
}

/// One entry of a map; ordered, so that no choice of keys makes it slow.
impl<'a, V: Merge<'a>> Merge<'a> for BTreeMap<Cow<'a, str>, V> {
    fn merge_from(&mut self, field: &Field<'a>) -> Result<(), DecodeError> {
        let (mut key, mut value) = (Cow::from(""), V::default());
        let mut fields = field.message()?;
        while let Some(field) = fields.field()? {
            match field.number {
                1 => key.merge_from(&field)?,
                2 => value.merge_from(&field)?,
                _ => {}
            }
        }
        self.insert(key, value);
        Ok(())
    }
}

impl<'a> Merge<'a> for bool {
    fn merge_from(&mut self, field: &Field<'a>) -> Result<(), DecodeError> {
        *self = field.varint()? != 0;
        Ok(())
    }
}

impl<'a> Merge<'a> for u64 {
    fn merge_from(&mut self, field: &Field<'a>) -> Result<(), DecodeError> {
        *self = field.varint()?;
        Ok(())
    }
}

impl<'a> Merge<'a> for i64 {
    fn merge_from(&mut self, field: &Field<'a>) -> Result<(), DecodeError> {
        *self = field.varint()?.cast_signed();
        Ok(())
    }
}

impl<'a> Merge<'a> for u32 {
    fn merge_from(&mut self, field: &Field<'a>) -> Result<(), DecodeError> {
        *self = field.varint()?.try_into().map_err(|_| field.wrong())?;
        Ok(())
    }
}

impl<'a> Merge<'a> for i32 {
    fn merge_from(&mut self, field: &Field<'a>) -> Result<(), DecodeError> {
        let number = field.varint()?.cast_signed();
        *self = number.try_into().map_err(|_| field.wrong())?;
        Ok(())
    }
}
