//! `--ple` and `--on-spin`.

use std::str::FromStr;

use super::on_spin::table::handlers;
use crate::text;

/// Who takes a vCPU out of a spin loop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ple {
    /// The hardware, where it can; KVM's handler decides then.
    #[default]
    Host,
    /// Nobody: PAUSE exits are switched off (`KVM_CAP_X86_DISABLE_EXITS`) where there are any.
    Off,
    /// The guest's own loops, through the `spin_exit` stub.
    Soft(Window),
}

/// The window of soft PLE. Names, defaults and arithmetic are those of KVM's module parameters
/// (Linux `arch/x86/kvm/x86.h`, `__grow_ple_window`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// PAUSEs that are at most this many TSC cycles apart belong to one loop.
    pub gap: u32,
    /// PAUSEs before the first exit.
    pub window: u32,
    /// The window grows by this after an exit: a factor if it is less than `window`, else added.
    pub grow: u32,
    /// The window shrinks by this when the vCPU gets a pCPU again: a divisor if it is less than
    /// `window`, else subtracted; 0 resets it.
    pub shrink: u32,
}

impl Window {
    /// KVM's, but for two. `window` counts TSC cycles there and PAUSEs here, and 4096 cycles are
    /// about 100 PAUSEs on processors whose PAUSE takes 40 cycles. `gap` is 128 there; here a turn of
    /// the guest's loop also reads the TSC and a cache line, and takes longer.
    pub const DEFAULT: Self = Self {
        gap: 4096,
        window: 128,
        grow: 2,
        shrink: 0,
    };
}

impl FromStr for Ple {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "host" => Ok(Self::Host),
            None if text == "off" => Ok(Self::Off),
            None if text == "soft" => Ok(Self::Soft(Window::DEFAULT)),
            Some(("soft", settings)) => window(settings).map(Self::Soft),
            _ => Err("host, off or soft:gap=…,window=…,grow=…,shrink=…".to_owned()),
        }
    }
}

fn window(settings: &str) -> Result<Window, String> {
    let mut window = Window::DEFAULT;
    for (key, value) in text::pairs(settings)? {
        let number = value
            .parse()
            .map_err(|_| format!("`{key}={value}`: not a number below 2^32"))?;
        match key {
            "gap" => window.gap = number,
            "window" if number == 0 => return Err("window=0: at least 1 PAUSE".to_owned()),
            "window" => window.window = number,
            "grow" => window.grow = number,
            "shrink" => window.shrink = number,
            _ => return Err(format!("`{key}`: soft has gap, window, grow and shrink")),
        }
    }
    Ok(window)
}

macro_rules! on_spin {
    ($($file:ident, $handler:ident $name:literal, $yields:ident, $help:literal, $reference:literal;)*) => {
        /// What the VMM does with a vCPU that spins: the handlers of KVM's history, and ours.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
        pub enum OnSpin {
            $(
                #[doc = concat!($help, ".")]
                #[value(name = $name)]
                $handler,
            )*
        }

        impl OnSpin {
            /// All of them, in the order of history.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$handler),*];

            /// Its name on the command line and in reports.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$handler => $name,)*
                }
            }

            /// Whether it decides who runs, for which the VMM must schedule.
            pub const fn yields(self) -> bool {
                match self {
                    $(Self::$handler => matches!(Turns::$yields, Turns::Yields),)*
                }
            }

            /// Its row of the reference, without its name.
            pub const fn reference(self) -> &'static str {
                match self {
                    $(Self::$handler => $reference,)*
                }
            }
        }
    };
}

handlers!(on_spin);

/// What becomes of the pCPU's next turn.
enum Turns {
    /// It is the spinner's, sooner or later.
    Stays,
    /// The handler may give it away.
    Yields,
}

/// The vCPU spins on.
impl Default for OnSpin {
    fn default() -> Self {
        Self::None
    }
}
