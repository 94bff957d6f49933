//! The functions of expressions. Each takes one type and refuses all others: an answer for a wrong one would be taken for a no,
//! and with a `!` before it for a yes.

use std::sync::{Arc, LazyLock};

use cel::{Context, ExecutionError, FunctionContext, Value, extractors::This};

use crate::permission::pattern;

/// The names of all, and how many values each takes, the one before the dot included.
pub(super) const FUNCTIONS: [(&str, usize); 7] = [
    ("size", 1),
    ("contains", 2),
    ("startsWith", 2),
    ("endsWith", 2),
    ("matches", 2),
    ("int", 1),
    ("string", 1),
];

/// What every evaluation begins with.
pub(super) static ROOT: LazyLock<Context<'static>> = LazyLock::new(|| {
    let mut root = Context::empty();
    root.add_function("size", size);
    root.add_function("contains", |This(text): This<Arc<String>>, part: Arc<String>| {
        text.contains(part.as_str())
    });
    root.add_function(
        "startsWith",
        |This(text): This<Arc<String>>, start: Arc<String>| text.starts_with(start.as_str()),
    );
    root.add_function("endsWith", |This(text): This<Arc<String>>, end: Arc<String>| {
        text.ends_with(end.as_str())
    });
    root.add_function(
        "matches",
        |This(text): This<Arc<String>>, written: Arc<String>| pattern::is_found(&written, &text),
    );
    root.add_function("int", cel::functions::int);
    root.add_function("string", cel::functions::string);
    root
});

/// Of texts in characters, as the language has it.
fn size(call: &FunctionContext<'_, '_>, This(value): This<Value>) -> Result<i64, ExecutionError> {
    let size = match &value {
        Value::List(list) => list.len(),
        Value::Map(map) => map.map.len(),
        Value::String(text) => text.chars().count(),
        _ => return Err(call.error("of what has no size")),
    };
    i64::try_from(size).map_err(|_| call.error("too large"))
}
