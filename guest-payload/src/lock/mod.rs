//! The locks under test.
//!
//! Each lock is one file and one line of the [table](crate::locks). All of a lock lies in its first few bytes, see
//! [`LockWordView`] for how the host reads them.

#[macro_use]
mod table;

mod address;
mod facts;
mod kind;
pub mod queue;
mod qword;
mod raw_lock;
mod tickets;
mod view;
pub mod waiters;
pub mod word;

macro_rules! files {
    ($(
        $number:literal $file:ident::$lock:ident$(<$width:ident>)?,
        $kind:ident $name:literal, $order:ident, $waits:ident;
    )*) => {
        $(pub mod $file;)*
    };
}

locks!(files);

pub use address::LockAddress;
pub use facts::{AfterRelease, Facts, Nodes, Order, Waits};
pub(crate) use kind::EXPECTED;
pub use kind::{LockKind, Visit};
pub use raw_lock::RawLock;
pub use tickets::{TicketBits, Tickets};
pub use view::LockWordView;
pub use word::{U8, U16};

#[cfg(test)]
#[cfg(not(loom))]
mod recorder;
#[cfg(test)]
#[cfg(not(loom))]
mod stress_test;
