//! The word as the processor sees it: one integer, accessed whole and by halves.

use super::{TicketPair, Tickets};
use crate::lock::tickets::SLOW_PATH_FLAG;
use crate::sync::{
    AtomicU8, AtomicU16, AtomicU32, Barrier,
    Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst},
    full_barrier,
};

#[cfg(not(all(target_arch = "x86_64", target_endian = "little")))]
compile_error!("the mixed-size accesses of the ticket word are only known to be right on x86-64");

/// A ticket in its own width.
macro_rules! half {
    ($half_int:ty, $ticket:expr) => {{
        #[expect(clippy::cast_possible_truncation, reason = "tickets wrap around")]
        let half = $ticket as $half_int;
        half
    }};
}

macro_rules! pair {
    ($name:ident, $whole:ident, $whole_int:ty, $half:ident, $half_int:ty) => {
        /// A pair of tickets.
        #[derive(Debug)]
        #[repr(transparent)]
        pub struct $name($whole);

        impl $name {
            #[inline(always)]
            fn head_half(&self) -> &$half {
                // SAFETY: the low half of `self.0`, aligned for its size and borrowed with it.
                // All accesses are atomic; those of different size overlap, which Rust leaves
                // undefined and x86 defines (each is one access to one cache line, ordered as
                // accesses of equal size are). LLVM makes one instruction of each.
                unsafe { $half::from_ptr(self.0.as_ptr().cast::<$half_int>()) }
            }

            #[inline(always)]
            fn tail_half(&self) -> &$half {
                // SAFETY: as `head_half`, the half above it.
                unsafe { $half::from_ptr(self.0.as_ptr().cast::<$half_int>().add(1)) }
            }

            #[inline(always)]
            const fn split(whole: $whole_int) -> Tickets {
                Tickets {
                    head: whole as u32 & <$half_int>::MAX as u32,
                    tail: whole as u32 >> <$half_int>::BITS,
                }
            }

            #[inline(always)]
            const fn join(tickets: Tickets) -> $whole_int {
                (half!($half_int, tickets.tail) as $whole_int) << <$half_int>::BITS
                    | half!($half_int, tickets.head) as $whole_int
            }
        }

        impl TicketPair for $name {
            const INIT: Self = Self($whole::new(0));

            #[inline(always)]
            fn take_ticket(&self, increment: u32) -> Tickets {
                let tail = Tickets {
                    head: 0,
                    tail: increment,
                };
                Self::split(self.0.fetch_add(Self::join(tail), AcqRel))
            }

            #[inline(always)]
            fn head(&self) -> u32 {
                self.head_half().load(Acquire).into()
            }

            #[inline(always)]
            fn tail(&self) -> u32 {
                self.tail_half().load(SeqCst).into()
            }

            #[inline(always)]
            fn load(&self) -> Tickets {
                Self::split(self.0.load(Relaxed))
            }

            #[inline(always)]
            fn release(&self, increment: u32) {
                let head = self.head_half();
                let served = head.load(Relaxed);
                head.store(served.wrapping_add(half!($half_int, increment)), Release);
            }

            #[inline(always)]
            fn release_locked(&self, increment: u32) {
                self.head_half()
                    .fetch_add(half!($half_int, increment), SeqCst);
                full_barrier(Barrier::Release);
            }

            #[inline(always)]
            fn release_and_read(&self, increment: u32) -> u32 {
                let served = self
                    .head_half()
                    .fetch_add(half!($half_int, increment), SeqCst);
                full_barrier(Barrier::Release);
                served.into()
            }

            #[inline(always)]
            fn flag_tail(&self) {
                self.tail_half()
                    .fetch_or(half!($half_int, SLOW_PATH_FLAG), SeqCst);
                full_barrier(Barrier::Announce);
            }

            #[inline(always)]
            fn flag_head(&self) {
                self.head_half()
                    .fetch_or(half!($half_int, SLOW_PATH_FLAG), SeqCst);
                full_barrier(Barrier::Announce);
            }

            #[inline(always)]
            fn replace(&self, old: Tickets, new: Tickets) -> bool {
                self.0
                    .compare_exchange(Self::join(old), Self::join(new), AcqRel, Relaxed)
                    .is_ok()
            }
        }
    };
}

pair!(Pair8, AtomicU16, u16, AtomicU8, u8);
pair!(Pair16, AtomicU32, u32, AtomicU16, u16);

#[cfg(test)]
#[cfg(not(loom))]
#[path = "real_test.rs"]
mod tests;
