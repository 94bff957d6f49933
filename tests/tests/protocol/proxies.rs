//! A backend that is asked about what clients do: what it is told, what clients see of its answers, and what happens when
//! there is none.

mod backend;
mod connect;
mod publish;
mod refresh;
mod rpc;
mod subscribe;
