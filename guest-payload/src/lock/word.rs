//! The word of a ticket lock: `head` in its low half, `tail` in its high half.
//!
//! The kernel accesses this word in two sizes: whole, to take a ticket and read the head in one
//! instruction, and by halves, to spin and to release. So does this. Tickets are passed as `u32`
//! whatever their width.

#[cfg(loom)]
mod model;
#[cfg(not(loom))]
mod real;

use core::fmt::Debug;

use crate::lock::tickets::{TicketBits, Tickets};

#[cfg(not(loom))]
use real::{Pair8, Pair16};

/// A width of tickets: [`U8`] or [`U16`].
pub trait Width: Debug + Send + Sync + 'static {
    /// The same as a value.
    const BITS: TicketBits;
    /// The word of a lock whose flag, if any, is in `tail`.
    type Pair: TicketPair;
    /// The word of a lock whose flag is in `head`. The same type except in the model.
    type HeadFlagPair: TicketPair;
}

/// Tickets of one byte.
#[derive(Debug)]
pub struct U8;

/// Tickets of two bytes.
#[derive(Debug)]
pub struct U16;

#[cfg(not(loom))]
impl Width for U8 {
    const BITS: TicketBits = TicketBits::Eight;
    type Pair = Pair8;
    type HeadFlagPair = Pair8;
}

#[cfg(not(loom))]
impl Width for U16 {
    const BITS: TicketBits = TicketBits::Sixteen;
    type Pair = Pair16;
    type HeadFlagPair = Pair16;
}

#[cfg(loom)]
impl Width for U8 {
    const BITS: TicketBits = TicketBits::Eight;
    type Pair = model::Halves;
    type HeadFlagPair = model::Whole;
}

#[cfg(loom)]
impl Width for U16 {
    const BITS: TicketBits = TicketBits::Sixteen;
    type Pair = model::Halves;
    type HeadFlagPair = model::Whole;
}

/// What ticket locks do to their word. Each method is one access.
pub trait TicketPair: Debug + Send + Sync + Sized {
    /// Both tickets 0.
    #[cfg(not(loom))]
    const INIT: Self;

    /// Both tickets 0.
    #[cfg(loom)]
    fn new() -> Self;

    /// Who touched the word after it had been freed.
    #[cfg(loom)]
    fn life(&self) -> &crate::sync::model::Life;

    /// Overwrites the word as the next user of its memory would.
    #[cfg(loom)]
    fn fill(&self, with: Tickets);

    /// `lock xadd` on the pair: gives out the tail and reads the head. Acquire pairs with the
    /// release of the CPU that was served before.
    fn take_ticket(&self, increment: u32) -> Tickets;

    /// Reads the head. Acquire pairs with the release of the CPU that was served before.
    fn head(&self) -> u32;

    /// Reads the tail; see [`release_locked`](Self::release_locked).
    fn tail(&self) -> u32;

    /// Reads both halves at once, for the holder: the head cannot move.
    fn load(&self) -> Tickets;

    /// Advances the head by an unlocked add; only the holder writes it. Release pairs with the
    /// Acquire of the next in line.
    fn release(&self, increment: u32);

    /// Advances the head by a locked add, which is the full barrier
    /// [`Release`](crate::sync::Barrier::Release): a read of the tail that follows is not taken
    /// from before it.
    fn release_locked(&self, increment: u32);

    /// Advances the head by `lock xadd` and returns what it was. Acquire pairs with
    /// [`flag_head`](Self::flag_head): who sees the flag sees the announcement that came before.
    fn release_and_read(&self, increment: u32) -> u32;

    /// Sets the slow-path flag in the tail; the full barrier
    /// [`Announce`](crate::sync::Barrier::Announce).
    fn flag_tail(&self);

    /// Sets the slow-path flag in the head; the full barrier
    /// [`Announce`](crate::sync::Barrier::Announce).
    fn flag_head(&self);

    /// `lock cmpxchg` on the pair; whether it was `old` and now is `new`.
    fn replace(&self, old: Tickets, new: Tickets) -> bool;
}
