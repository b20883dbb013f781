use std::fmt;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// An `out` to this port.
    Out {
        /// Port.
        port: u16,
    },
    /// An HLT that KVM handed out.
    Hlt,
    /// A breakpoint or a single step.
    Debug {
        /// Address of the next instruction.
        rip: u64,
    },
    /// An RDMSR that KVM handed out.
    ReadMsr {
        /// MSR.
        index: u32,
    },
    /// A WRMSR that KVM handed out.
    WriteMsr {
        /// MSR.
        index: u32,
        /// The value to be written.
        data: u64,
    },
    /// An exception that has no handler, as there are none.
    Shutdown,
    /// The instruction cannot be emulated.
    InternalError,
    /// It blocks in the kernel: halted and not kicked, or not started.
    Waiting {
        /// `KVM_MP_STATE_*`.
        mp_state: u32,
    },
    /// It used up its CPU time.
    Unfinished,
    /// Another `KVM_EXIT_*` reason.
    Other(u32),
}

impl Exit {
    /// The exit of [`Op::Out`](crate::host::code::Op::Out) to `port`.
    #[must_use]
    pub fn out(port: u8) -> Self {
        Self::Out { port: port.into() }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Out { port } => write!(f, "went on to the next `out` (port {port:#x})"),
            Self::Hlt => f.write_str("HLT exit"),
            Self::Debug { rip } => write!(f, "debug exit at {rip:#x}"),
            Self::ReadMsr { index } => write!(f, "exit to read MSR {index:#x}"),
            Self::WriteMsr { index, data } => {
                write!(f, "exit to write {data:#x} to MSR {index:#x}")
            }
            Self::Shutdown => f.write_str("exception"),
            Self::InternalError => f.write_str("KVM could not emulate the instruction"),
            Self::Waiting { mp_state } => write!(f, "blocked in the kernel, MP_STATE {mp_state}"),
            Self::Unfinished => f.write_str("did not end"),
            Self::Other(reason) => write!(f, "exit reason {reason}"),
        }
    }
}
