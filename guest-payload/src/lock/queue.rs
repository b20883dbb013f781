//! Queue nodes: where the CPUs that wait for a queued lock line up, each spinning on memory of its
//! own.
//!
//! There is one node a CPU, outside the locks, so that a lock can be freed while its waiters' nodes
//! live on. One is enough: a CPU of this payload waits for one lock at a time and holds no other
//! meanwhile, because interrupts are off and the workload does not nest. Linux has four a CPU, one
//! each for task, softirq, hardirq and NMI.

use crate::lock::waiters::{NOBODY, Waiters};
use crate::sync::{
    AtomicU8, AtomicU32, AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst},
    spin_hint,
};

const WAITS: u32 = 0;
const AT_HEAD: u32 = 1;

/// [`Node::state`]: the CPU runs.
const RUNS: u8 = 0;
/// [`Node::state`]: it halts, or is about to, and waits for its turn.
const HALTS: u8 = 1;
/// [`Node::state`]: it halts, or is about to, and the lock's release will kick it.
const HASHED: u8 = 2;

/// One CPU's place in a queue, on a cache line of its own. Zero bytes are a node.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Node {
    /// Number of the CPU behind, written by that CPU.
    next: AtomicU32,
    /// Whether everybody before has gone, written by the CPU before.
    turn: AtomicU32,
    /// For PV locks: what the CPU does, written by it and by the CPU that gives it its turn.
    state: AtomicU8,
    /// See [`Node::word`].
    word: AtomicU64,
}

impl Node {
    /// A node in no queue.
    #[expect(clippy::new_without_default, reason = "a test's way to make nodes")]
    pub fn new() -> Self {
        Self {
            next: AtomicU32::new(NOBODY),
            turn: AtomicU32::new(WAITS),
            state: AtomicU8::new(RUNS),
            word: AtomicU64::new(0),
        }
    }

    /// Makes the node new. The xchg of the lock's tail that follows, a Release, publishes it.
    #[inline(always)]
    pub(super) fn reset(&self) {
        self.next.store(NOBODY, Relaxed);
        self.turn.store(WAITS, Relaxed);
        self.state.store(RUNS, Relaxed);
    }

    /// Number of the CPU behind, if it has said so yet. Acquire pairs with
    /// [`line_up`](Self::line_up): who sees the CPU sees its node as it reset it.
    #[inline(always)]
    pub(super) fn next(&self) -> u32 {
        self.next.load(Acquire)
    }

    /// The number of the CPU behind, which has changed the lock's tail and is about to say so. It may
    /// have lost its pCPU in between, so every turn of the loop calls `spun`.
    #[inline(always)]
    pub(super) fn await_next(&self, spun: impl Fn()) -> u32 {
        loop {
            let next = self.next();
            if next != NOBODY {
                return next;
            }
            spin_hint();
            spun();
        }
    }

    /// Tells the CPU of this node that `number` is behind it. Release pairs with
    /// [`next`](Self::next).
    #[inline(always)]
    pub(super) fn line_up(&self, number: u32) {
        self.next.store(number, Release);
    }

    /// Whether it is this CPU's turn. Acquire pairs with [`pass_on`](Self::pass_on).
    #[inline(always)]
    pub(super) fn is_at_head(&self) -> bool {
        self.turn.load(Acquire) == AT_HEAD
    }

    /// Gives the CPU of this node its turn. Release pairs with [`is_at_head`](Self::is_at_head).
    #[inline(always)]
    pub(super) fn pass_on(&self) {
        self.turn.store(AT_HEAD, Release);
    }

    /// A word for locks that need nothing else: 0 at first, and nobody but the lock writes it.
    #[inline(always)]
    pub fn word(&self) -> &AtomicU64 {
        &self.word
    }

    /// Says that this CPU runs. Relaxed: a hint to the CPU behind.
    #[inline(always)]
    pub(super) fn run(&self) {
        self.state.store(RUNS, Relaxed);
    }

    /// Whether it runs, as far as is known. Relaxed: a hint.
    #[inline(always)]
    pub(super) fn is_running(&self) -> bool {
        self.state.load(Relaxed) == RUNS
    }

    /// Says that this CPU is about to halt until its turn comes: the locked instruction of the
    /// barrier [`Announce`](crate::sync::Barrier::Announce).
    pub(super) fn halt(&self) {
        self.state.swap(HALTS, SeqCst);
    }

    /// Says that this CPU is about to halt until the lock's release: the locked instruction of the
    /// barrier [`Announce`](crate::sync::Barrier::Announce).
    pub(super) fn halt_hashed(&self) {
        self.state.swap(HASHED, SeqCst);
    }

    /// Takes [`halt`](Self::halt) back, unless the CPU before has promised a kick. Acquire pairs
    /// with [`hash_if_halted`](Self::hash_if_halted).
    pub(super) fn run_unless_hashed(&self) {
        // It fails where the promise was made: that stays.
        let _ = self.state.compare_exchange(HALTS, RUNS, AcqRel, Acquire);
    }

    /// Whether the CPU before has promised a kick. Relaxed: this CPU has acquired when it found out
    /// in [`run_unless_hashed`](Self::run_unless_hashed).
    pub(super) fn is_hashed(&self) -> bool {
        self.state.load(Relaxed) == HASHED
    }

    /// Promises the CPU of this node a kick, if it halts; whether it does. A locked instruction, of
    /// the barrier [`PassOn`](crate::sync::Barrier::PassOn) before it. Acquire pairs with
    /// [`halt`](Self::halt): who sees the halt sees the announcement. Release pairs with
    /// [`run_unless_hashed`](Self::run_unless_hashed).
    pub(super) fn hash_if_halted(&self) -> bool {
        self.state
            .compare_exchange(HALTS, HASHED, AcqRel, Relaxed)
            .is_ok()
    }
}

/// The nodes of all CPUs of a machine, and the hash of those who wait for a kick.
#[derive(Clone, Copy, Debug)]
pub struct Queue<'a> {
    nodes: &'a [Node],
    waiters: Waiters<'a>,
}

impl<'a> Queue<'a> {
    /// No nodes, for machines whose locks need none.
    pub const EMPTY: Self = Self::new(&[], Waiters::new(&[]));

    /// CPU `i` has `nodes[i]`.
    pub const fn new(nodes: &'a [Node], waiters: Waiters<'a>) -> Self {
        Self { nodes, waiters }
    }

    /// The queue as the CPU with this index sees it.
    #[inline(always)]
    pub const fn seat(self, index: usize) -> Seat<'a> {
        Seat { queue: self, index }
    }
}

/// One CPU and the nodes of all.
#[derive(Clone, Copy, Debug)]
pub struct Seat<'a> {
    queue: Queue<'a>,
    index: usize,
}

impl<'a> Seat<'a> {
    /// This CPU's number.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "at most MAX_CPUS")]
    pub(super) const fn number(self) -> u32 {
        self.index as u32 + 1
    }

    /// Who waits for a kick, of all locks.
    #[inline(always)]
    pub(super) fn waiters(self) -> Waiters<'a> {
        self.queue.waiters
    }

    /// This CPU's node.
    #[inline(always)]
    pub(super) fn own(self) -> &'a Node {
        &self.queue.nodes[self.index]
    }

    /// The node of the CPU with this number, which is not [`NOBODY`].
    #[inline(always)]
    pub(super) fn node(self, number: u32) -> &'a Node {
        &self.queue.nodes[number as usize - 1]
    }
}
