//! What a lock tells of itself to those who run, check and describe it.

/// In which order a lock serves its waiters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As they came, and the tickets show it.
    Fifo,
    /// As they lined up. Nothing outside the lock's own queue shows it, so nothing checks it.
    Queue,
    /// None that it promises.
    None,
}

impl Order {
    /// The name in the reference.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fifo => "FIFO",
            Self::Queue => "queue",
            Self::None => "none",
        }
    }
}

/// What a lock's waiters do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waits {
    /// They spin.
    Spins,
    /// They have a slow path that a PV backend can take over.
    Halts,
}

/// Where a lock's waiters stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nodes {
    /// At the lock itself.
    None,
    /// In the CPUs' [queue nodes](crate::lock::queue).
    OnePerCpu,
}

/// Whether a lock's memory is the next user's as soon as it is released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterRelease {
    /// It is.
    LeavesIt,
    /// The lock looks at itself once more, and may find that it was freed.
    LooksBack,
}

/// The facts of one lock.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// What it is, in the reference's words.
    pub what: &'static str,
    /// How its bytes look, in the reference's words.
    pub bytes: &'static str,
    /// Distance between two tickets; 0 for locks without tickets.
    pub ticket_increment: u32,
    /// The most CPUs that can use one lock at a time.
    ///
    /// With tickets, each CPU holds one at most, and all of them must differ; the slow-path flag
    /// halves their number (seed: 128 CPUs with small tickets, 32768 with large ones).
    pub max_cpus: u32,
    /// Where its waiters stand.
    pub nodes: Nodes,
    /// Whether it looks at itself after its release.
    pub after_release: AfterRelease,
}

impl Facts {
    /// No tickets, no nodes, no limits, nothing after its release.
    pub(super) const PLAIN: Self = Self {
        what: "",
        bytes: "",
        ticket_increment: 0,
        max_cpus: u32::MAX,
        nodes: Nodes::None,
        after_release: AfterRelease::LeavesIt,
    };
}
