//! Which of the backends is in use.

/// Who waits and kicks for the locks of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// Nobody: locks spin, and the unlock site stays a nop.
    Native,
    /// HLT and the `KVM_HC_KICK_CPU` hypercall.
    Kvm,
    /// `SCHEDOP_poll` and `EVTCHNOP_send`.
    Xen,
}

impl Backend {
    /// Its number in the results page.
    pub const fn number(self) -> u32 {
        match self {
            Self::Native => 0,
            Self::Kvm => 1,
            Self::Xen => 2,
        }
    }

    /// Its name on the command line and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Kvm => "kvm",
            Self::Xen => "xen",
        }
    }

    /// The backend with this number.
    pub const fn from_number(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::Native),
            1 => Some(Self::Kvm),
            2 => Some(Self::Xen),
            _ => None,
        }
    }
}
