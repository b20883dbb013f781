//! The locks by name, and what each promises.

use super::facts::{AfterRelease, Facts, Nodes, Order, Waits};
use super::raw_lock::RawLock;
use super::tickets::TicketBits;
use super::view::LockWordView;
use super::{U8, U16};
use crate::abi::POISON_BYTE;

/// Something to be done with a lock whose type is known at run time only.
pub trait Visit {
    /// What comes of it.
    type Output;

    /// Does it with `L`.
    fn visit<L: RawLock>(self) -> Self::Output;
}

macro_rules! kinds {
    ($(
        $number:literal $file:ident::$lock:ident$(<$width:ident>)?,
        $kind:ident $name:literal, $order:ident, $waits:ident;
    )*) => {
        /// A kind of lock. The numbers are the ABI of `Results::lock_kind`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        pub enum LockKind {
            $(
                #[doc = concat!("See [`", stringify!($file), "`](crate::lock::", stringify!($file), ").")]
                $kind = $number,
            )*
        }

        impl LockKind {
            /// Every kind, in the order of their numbers.
            pub const ALL: [Self; [$($number),*].len()] = [$(Self::$kind),*];

            /// The name on command lines and in reports.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                }
            }

            /// Its file's name, without the `.rs`.
            pub const fn file(self) -> &'static str {
                match self {
                    $(Self::$kind => stringify!($file),)*
                }
            }

            /// The order that it promises.
            pub const fn order(self) -> Order {
                match self {
                    $(Self::$kind => Order::$order,)*
                }
            }

            const fn waits(self) -> Waits {
                match self {
                    $(Self::$kind => Waits::$waits,)*
                }
            }

            /// Hands the lock's type, with tickets of this width if it has tickets, to `visitor`.
            #[inline(always)]
            pub fn visit<V: Visit>(self, bits: TicketBits, visitor: V) -> V::Output {
                match (self, bits) {
                    $(
                        (Self::$kind, TicketBits::Eight) => {
                            #[allow(dead_code, reason = "not all locks have a width")]
                            type W = U8;
                            visitor.visit::<super::$file::$lock$(<$width>)?>()
                        }
                        (Self::$kind, TicketBits::Sixteen) => {
                            #[allow(dead_code, reason = "not all locks have a width")]
                            type W = U16;
                            visitor.visit::<super::$file::$lock$(<$width>)?>()
                        }
                    )*
                }
            }
        }

        /// All names, with `|` behind each.
        const NAMES: &str = concat!("lock=", $($name, "|"),*);
    };
}

locks!(kinds);

/// What an unknown name is answered with.
pub(crate) const EXPECTED: &str = NAMES.split_at(NAMES.len() - 1).0;

struct TellSize;

impl Visit for TellSize {
    type Output = usize;

    fn visit<L: RawLock>(self) -> usize {
        size_of::<L>()
    }
}

struct Read<'a>(&'a [u8]);

impl Visit for Read<'_> {
    type Output = Option<LockWordView>;

    fn visit<L: RawLock>(self) -> Self::Output {
        L::view(self.0)
    }
}

struct TellFacts;

impl Visit for TellFacts {
    type Output = Facts;

    fn visit<L: RawLock>(self) -> Facts {
        L::FACTS
    }
}

impl LockKind {
    /// The kind called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The kind with this number.
    pub fn from_u32(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u32 == number)
    }

    /// What it tells of itself, with tickets of this width if it has tickets.
    pub fn facts(self, bits: TicketBits) -> Facts {
        self.visit(bits, TellFacts)
    }

    /// Whether it serves in the order of its tickets.
    pub const fn is_fifo(self) -> bool {
        matches!(self.order(), Order::Fifo)
    }

    /// Whether it has a slow path that a PV backend can take over.
    pub const fn is_pv(self) -> bool {
        matches!(self.waits(), Waits::Halts)
    }

    /// Whether it hands out tickets.
    pub fn has_tickets(self) -> bool {
        self.ticket_increment() != 0
    }

    /// Distance between two tickets, 0 for locks without tickets.
    pub fn ticket_increment(self) -> u32 {
        self.facts(TicketBits::Eight).ticket_increment
    }

    /// Whether its waiters line up in the CPUs' [queue nodes](crate::lock::queue).
    pub fn has_queue(self) -> bool {
        self.facts(TicketBits::Eight).nodes == Nodes::OnePerCpu
    }

    /// Whether it looks at itself after its release, when its memory may be somebody else's.
    pub fn looks_back(self) -> bool {
        self.facts(TicketBits::Eight).after_release == AfterRelease::LooksBack
    }

    /// The most CPUs that can use one lock at a time.
    pub fn max_cpus(self, bits: TicketBits) -> u32 {
        self.facts(bits).max_cpus
    }

    /// The narrowest tickets that number `cpus` CPUs; `None` if none are wide enough.
    /// [`TicketBits::Eight`] for locks without tickets, however many the CPUs.
    pub fn tickets_for(self, cpus: u32) -> Option<TicketBits> {
        let widths = [TicketBits::Eight, TicketBits::Sixteen];
        widths.into_iter().find(|bits| cpus <= self.max_cpus(*bits))
    }

    /// Bytes of a lock of this kind.
    pub fn size(self, bits: TicketBits) -> usize {
        self.visit(bits, TellSize)
    }

    /// Reads the first bytes of a [`LockObject`](crate::abi::LockObject); `None` if there are too
    /// few of them.
    pub fn view(self, bits: TicketBits, bytes: &[u8]) -> Option<LockWordView> {
        let bytes = bytes.get(..self.size(bits))?;
        if bytes.iter().all(|byte| *byte == POISON_BYTE) {
            return Some(LockWordView::Poison);
        }
        self.visit(bits, Read(bytes))
    }
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "kind_test.rs"]
mod tests;

#[cfg(test)]
#[cfg(not(loom))]
#[path = "view_test.rs"]
mod view_tests;
