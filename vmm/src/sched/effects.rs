//! What the run queue tells those who call it.

/// Why a vCPU is to give its token up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Its slice is over.
    SliceOver,
    /// On purpose.
    Preempted,
    /// It asked for it.
    Yields,
}

/// What the caller has to do once it has let the mutex go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub(super) struct Effects {
    /// This vCPU was given a token.
    pub(super) granted: Option<usize>,
    /// Somebody waits, and nobody watches the slices.
    pub(super) wake_timer: bool,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Tokens given to a vCPU that had none.
    pub(super) switches: u64,
    /// Slices that ended and whose tokens went to others.
    pub(super) expired: u64,
    /// Directed yields that handed a token over.
    pub(super) yields: u64,
    /// Preemptions on purpose by which a vCPU lost its token.
    pub(super) preempted: u64,
}
