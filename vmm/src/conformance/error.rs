//! Why the cases cannot be run at all.

use std::io;

use crate::host::HostError;
use crate::machine::{self, events};

/// Why the cases cannot be run at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No KVM.
    #[error(transparent)]
    Host(#[from] HostError),
    /// A machine cannot be made, for a reason that is not its configuration.
    #[error(transparent)]
    Build(#[from] machine::Error),
    /// A machine cannot be run.
    #[error(transparent)]
    Run(#[from] events::Error),
    /// Descriptors.
    #[error("the signal descriptor cannot be duplicated")]
    Signals(#[source] io::Error),
}
