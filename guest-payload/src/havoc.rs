//! `mode=havoc`: what a hostile guest does to its machine, by name, and the numbers it draws.
//!
//! The turn of a CPU is a function of the seed, of the CPU and of how many turns it has had: a fault, an
//! INIT or a snapshot in between changes nothing in what comes next.

/// A kind of thing that a hostile guest does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Deed {
    /// IN and OUT of every width at any port.
    Ports = 0,
    /// REP INS and REP OUTS.
    Strings,
    /// Reads and writes of every width where there is no RAM.
    Mmio,
    /// RDMSR and WRMSR.
    Msrs,
    /// Registers of the local APIC, in both modes.
    Apic,
    /// Interrupt commands of every kind; INIT and SIPI for others.
    Ipis,
    /// Kicks of any APIC ID with any flags.
    Kicks,
    /// Hypercalls of any number with any arguments.
    Hypercalls,
    /// Xen's hypercalls with any arguments in memory.
    Xen,
    /// Page tables full of garbage, and accesses through them.
    Tables,
    /// Control and debug registers.
    Registers,
    /// Other contents of the stub page.
    Stubs,
    /// Other contents of the results, handshake and trace pages.
    Pages,
    /// Halts that somebody else has to end. The boot CPU never halts.
    Halts,
    /// `vmcall` itself. Some hosts never complete it at CPL 0.
    Vmcall,
    /// What a guest does not come back from: INIT for everybody, control registers without bounds, writes
    /// anywhere, random code, a reset.
    Reckless,
}

impl Deed {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Self; 16] = [
        Self::Ports,
        Self::Strings,
        Self::Mmio,
        Self::Msrs,
        Self::Apic,
        Self::Ipis,
        Self::Kicks,
        Self::Hypercalls,
        Self::Xen,
        Self::Tables,
        Self::Registers,
        Self::Stubs,
        Self::Pages,
        Self::Halts,
        Self::Vmcall,
        Self::Reckless,
    ];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ports => "ports",
            Self::Strings => "strings",
            Self::Mmio => "mmio",
            Self::Msrs => "msrs",
            Self::Apic => "apic",
            Self::Ipis => "ipis",
            Self::Kicks => "kicks",
            Self::Hypercalls => "hypercalls",
            Self::Xen => "xen",
            Self::Tables => "tables",
            Self::Registers => "registers",
            Self::Stubs => "stubs",
            Self::Pages => "pages",
            Self::Halts => "halts",
            Self::Vmcall => "vmcall",
            Self::Reckless => "reckless",
        }
    }

    /// The kind that `name` stands for.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|deed| deed.name() == name)
    }
}

/// Some of the kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deeds(u32);

impl Deeds {
    /// All that the payload survives on every host, so that it goes on for as long as asked.
    pub const SURVIVABLE: Self = Self(
        ((1 << Deed::ALL.len()) - 1) & !(Self::of(Deed::Vmcall).0 | Self::of(Deed::Reckless).0),
    );

    const fn of(deed: Deed) -> Self {
        Self(1 << deed as u32)
    }

    /// `all`, which is [`Self::SURVIVABLE`], or names with commas between them.
    pub fn parse(list: &str) -> Option<Self> {
        list.split(',').try_fold(Self(0), |deeds, name| {
            let more = match name {
                "all" => Self::SURVIVABLE,
                name => Self::of(Deed::from_name(name)?),
            };
            Some(Self(deeds.0 | more.0))
        })
    }

    /// Whether `deed` is one of them.
    pub fn has(self, deed: Deed) -> bool {
        self.0 & Self::of(deed).0 != 0
    }

    /// One of them, each as likely as the others; [`Deed::Reckless`] among others only now and then, so
    /// that there is something for it to end.
    pub fn draw(self, draws: &mut Draws) -> Deed {
        let gentle = Self(self.0 & !Self::of(Deed::Reckless).0);
        if gentle.0 != self.0 && gentle.0 != 0 {
            return match draws.one_in(256) {
                true => Deed::Reckless,
                false => gentle.draw(draws),
            };
        }
        let mut left = draws.below(self.0.count_ones().max(1));
        for deed in Deed::ALL {
            if self.has(deed) {
                if left == 0 {
                    return deed;
                }
                left -= 1;
            }
        }
        Deed::Ports
    }
}

/// What one turn draws (splitmix64).
#[derive(Clone, Debug)]
pub struct Draws(u64);

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

impl Draws {
    /// For turn number `turn` of CPU `cpu`.
    pub fn of_turn(seed: u64, cpu: u32, turn: u64) -> Self {
        let mut mixed = Self(seed);
        mixed.0 = mixed.next() ^ u64::from(cpu).wrapping_mul(GOLDEN);
        mixed.0 = mixed.next() ^ turn;
        Self(mixed.next())
    }

    /// The next 64 bits.
    #[expect(
        clippy::should_implement_trait,
        reason = "it never ends, and nobody iterates over it"
    )]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        let mut bits = self.0;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ bits >> 31
    }

    /// The low half of the next 64 bits.
    #[expect(clippy::cast_possible_truncation, reason = "that is what it is for")]
    pub fn next_u32(&mut self) -> u32 {
        self.next() as u32
    }

    /// A number below `limit`, 0 for none.
    pub fn below(&mut self, limit: u32) -> u32 {
        let high = (u64::from(self.next_u32()) * u64::from(limit)) >> 32;
        u32::try_from(high).unwrap_or(0)
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: u32) -> bool {
        self.below(n) == 0
    }

    /// One of `choices`, or the default of none.
    pub fn pick<T: Copy + Default>(&mut self, choices: &[T]) -> T {
        let count = u32::try_from(choices.len()).unwrap_or(u32::MAX);
        let at = self.below(count) as usize;
        choices.get(at).copied().unwrap_or_default()
    }

    /// 64 bits of the kinds that mistakes are made with: none, all, one bit, a run of ones, small, half
    /// a word, and any.
    pub fn value(&mut self) -> u64 {
        let bit = self.below(64);
        match self.below(8) {
            0 => 0,
            1 => u64::MAX,
            2 => 1 << bit,
            3 => (1 << bit) - 1,
            4 => u64::from(self.below(0x100)),
            5 => u64::from(self.next_u32()),
            _ => self.next(),
        }
    }
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "havoc_test.rs"]
mod tests;
