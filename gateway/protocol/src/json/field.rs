//! How single fields are read: `null` is absent, arrays do not stand in for objects, text is borrowed.

use std::{borrow::Cow, collections::BTreeMap, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor, value::MapAccessDeserializer},
};

use serde_json::value::RawValue;

use crate::{command::SubscribeRequest, filter::FilterNode, payload::Payload};

/// A number or flag; `null` is zero.
pub(crate) fn or_zero<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    source: D,
) -> Result<T, D::Error> {
    Option::<T>::deserialize(source).map(Option::unwrap_or_default)
}

/// A payload that is there, `null` included: serde's own `Option` would take `null` for absence.
pub(crate) fn payload<'de, D: Deserializer<'de>>(source: D) -> Result<Option<Payload<'de>>, D::Error> {
    Payload::deserialize(source).map(Some)
}

pub(crate) fn text<'de, D: Deserializer<'de>>(source: D) -> Result<Cow<'de, str>, D::Error> {
    Text::deserialize(source).map(Cow::from)
}

pub(crate) fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    source: D,
) -> Result<Option<T>, D::Error> {
    Object::deserialize(source).map(|object| object.0)
}

pub(crate) fn texts<'de, D: Deserializer<'de>>(
    source: D,
) -> Result<BTreeMap<Cow<'de, str>, Cow<'de, str>>, D::Error> {
    source.deserialize_any(MapVisitor::<Text<'de>, _>(PhantomData))
}

pub(crate) fn subscriptions<'de, D: Deserializer<'de>>(
    source: D,
) -> Result<BTreeMap<Cow<'de, str>, SubscribeRequest<'de>>, D::Error> {
    source.deserialize_any(MapVisitor::<Object<SubscribeRequest<'de>>, _>(PhantomData))
}

pub(crate) fn text_list<'de, D: Deserializer<'de>>(source: D) -> Result<Vec<Cow<'de, str>>, D::Error> {
    let texts: Option<Vec<Text<'de>>> = Option::deserialize(source)?;
    Ok(texts.unwrap_or_default().into_iter().map(Cow::from).collect())
}

/// A filter on tags. What is none is no mistake of the command: it is judged with the subscription.
pub(crate) fn filter<'de, D: Deserializer<'de>>(source: D) -> Result<Option<FilterNode<'de>>, D::Error> {
    let text: Option<&'de RawValue> = Option::deserialize(source)?;
    Ok(text.map(|text| match serde_json::from_str(text.get()) {
        Ok(Object(Some(node))) => node,
        Ok(Object(None)) | Err(_) => FilterNode::unreadable(),
    }))
}

pub(crate) fn filter_nodes<'de, D: Deserializer<'de>>(source: D) -> Result<Vec<FilterNode<'de>>, D::Error> {
    let nodes: Option<Vec<Object<FilterNode<'de>>>> = Option::deserialize(source)?;
    Ok(nodes
        .into_iter()
        .flatten()
        .map(|node| node.0.unwrap_or_default())
        .collect())
}

/// A string, borrowed when it has no escapes; serde's own `Cow` always copies.
struct Text<'a>(Cow<'a, str>);

impl<'a> From<Text<'a>> for Cow<'a, str> {
    fn from(text: Text<'a>) -> Self {
        text.0
    }
}

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        source.deserialize_any(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Text(Cow::Owned(text.to_owned())))
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Text(Cow::Borrowed("")))
    }
}

/// An object or `null`. A derived `Deserialize` alone would also take an array of the fields in order.
pub(crate) struct Object<T>(pub(crate) Option<T>);

impl<'a> From<Object<SubscribeRequest<'a>>> for SubscribeRequest<'a> {
    fn from(object: Object<Self>) -> Self {
        object.0.unwrap_or_default()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        source.deserialize_any(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(|value| Object(Some(value)))
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Object(None))
    }
}

/// An object with free keys, each at most once. Ordered, so that no choice of keys makes it slow.
struct MapVisitor<W, V>(PhantomData<(W, V)>);

impl<'de, W: Deserialize<'de>, V: From<W>> Visitor<'de> for MapVisitor<W, V> {
    type Value = BTreeMap<Cow<'de, str>, V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = BTreeMap::new();
        while let Some((key, value)) = map.next_entry::<Text<'de>, W>()? {
            if entries.insert(key.0, V::from(value)).is_some() {
                return Err(A::Error::custom("duplicate key"));
            }
        }
        Ok(entries)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(BTreeMap::new())
    }
}
