//! What the host writes into a guest's handshake page before the start: what it wants to hear of,
//! and how often.

use std::mem::offset_of;

use guest_payload::abi::handshake::{
    HANDSHAKE_MAGIC, HANDSHAKE_VERSION, HOST_ADVISES, HOST_PREEMPTS, HOST_READS_SLOTS,
    HOST_SPIN_EXITS, Handshake,
};
use vm_memory::{ByteValued, Bytes, GuestAddress, GuestMemoryMmap};

use super::config::{OnSpin, Ple};
use super::lab::Lab;
use crate::sched::config::{Adversary, PolicyKind, PreemptAt, Sched};

/// Why the laboratory's switches cannot be passed on to a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The image has no handshake page, or no stub to leave by.
    #[error(
        "{0}: this guest has no {1}, so it cannot tell the VMM what its locks do; use the bundled \
         payload, or leave the option out"
    )]
    NotOffered(&'static str, &'static str),
    /// What the note names is no such page, or one of another version.
    #[error(
        "{0}: this guest's handshake page at {1:#x} is none of version {HANDSHAKE_VERSION}; use a \
         payload of this build, or leave the option out"
    )]
    OtherPage(&'static str, u64),
    /// Nobody could tell whose an exit is.
    #[error(
        "--preempt-holder and --sched adversarial:at=acquire both preempt after acquires, and no \
         exit tells for whom it is; use one of them"
    )]
    TwoAtAcquire,
}

/// The host's fields of a [`Handshake`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostFields {
    /// `HOST_*` bits.
    pub host: u32,
    /// [`Handshake::gap_cycles`].
    pub gap_cycles: u32,
    /// [`Handshake::window_pauses`].
    pub window_pauses: u32,
    /// [`Handshake::exit_at_acquire`].
    pub exit_at_acquire: u32,
    /// [`Handshake::exit_at_release`].
    pub exit_at_release: u32,
    /// [`Handshake::seed`].
    pub seed: u64,
    /// An option that needs them, for who has to leave it out.
    option: &'static str,
}

impl HostFields {
    /// What `lab` needs; `None` where it needs no handshake.
    ///
    /// # Errors
    /// [`Error::TwoAtAcquire`].
    pub fn of(lab: &Lab) -> Result<Option<Self>, Error> {
        let mut fields = Self {
            seed: lab.seed,
            ..Self::default()
        };
        if let Some(holder) = lab.preempt_holder {
            fields.ask("--preempt-holder", HOST_PREEMPTS);
            fields.exit_at_acquire = share(holder.rate);
        }
        if let Sched::Tokens(tokens) = lab.sched
            && let PolicyKind::Adversarial(Adversary { at, rate }) = tokens.policy
        {
            fields.ask("--sched adversarial", HOST_PREEMPTS);
            match at {
                PreemptAt::Acquire if lab.preempt_holder.is_some() => {
                    return Err(Error::TwoAtAcquire);
                }
                PreemptAt::Acquire => fields.exit_at_acquire = share(rate),
                PreemptAt::Release => fields.exit_at_release = share(rate),
            }
        }
        if let Ple::Soft(window) = lab.ple {
            fields.ask("--ple soft", HOST_SPIN_EXITS);
            fields.gap_cycles = window.gap;
            fields.window_pauses = window.window;
        }
        if lab.on_spin == OnSpin::Handshake {
            fields.ask("--on-spin handshake", HOST_READS_SLOTS | HOST_ADVISES);
        }
        Ok((fields.host != 0).then_some(fields))
    }

    fn ask(&mut self, option: &'static str, bits: u32) {
        self.option = option;
        self.host |= bits;
    }

    /// Where the page is, if the guest has one at `page` and a stub to leave by.
    ///
    /// # Errors
    /// [`Error::NotOffered`].
    pub fn page(&self, page: Option<u64>, stub_page: Option<u64>) -> Result<u64, Error> {
        let lacks = |what| Error::NotOffered(self.option, what);
        stub_page.ok_or(lacks("stub page (ELF note `vmm`, type 1)"))?;
        page.ok_or(lacks("handshake page (ELF note `vmm`, type 3)"))
    }

    /// Writes them into the page at `gpa` of a guest that has not started.
    ///
    /// # Errors
    /// [`Error::OtherPage`]; then nothing was written.
    pub fn write(&self, memory: &GuestMemoryMmap, gpa: u64) -> Result<(), Error> {
        let page = Page { memory, gpa };
        if !page.is_ours() {
            return Err(Error::OtherPage(self.option, gpa));
        }
        let written = [
            page.write(offset_of!(Handshake, exit_at_acquire), self.exit_at_acquire),
            page.write(offset_of!(Handshake, exit_at_release), self.exit_at_release),
            page.write(offset_of!(Handshake, gap_cycles), self.gap_cycles),
            page.write(offset_of!(Handshake, window_pauses), self.window_pauses),
            page.write(offset_of!(Handshake, seed), self.seed),
            page.write(offset_of!(Handshake, host), self.host),
        ];
        match written.iter().all(Option::is_some) {
            true => Ok(()),
            false => Err(Error::OtherPage(self.option, gpa)),
        }
    }
}

/// A handshake page in the memory of a guest that may have put anything there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page<'a> {
    pub(super) memory: &'a GuestMemoryMmap,
    pub(super) gpa: u64,
}

impl Page<'_> {
    /// Whether it says that it is one.
    pub(super) fn is_ours(&self) -> bool {
        let magic: Option<u64> = self.read(offset_of!(Handshake, magic));
        let version: Option<u32> = self.read(offset_of!(Handshake, version));
        (magic, version) == (Some(HANDSHAKE_MAGIC), Some(HANDSHAKE_VERSION))
    }

    /// Address of the field at `offset`.
    pub(super) fn field(&self, offset: usize) -> Option<GuestAddress> {
        self.gpa.checked_add(offset as u64).map(GuestAddress)
    }

    fn read<T: ByteValued>(&self, offset: usize) -> Option<T> {
        self.memory.read_obj(self.field(offset)?).ok()
    }

    fn write<T: ByteValued>(&self, offset: usize, value: T) -> Option<()> {
        self.memory.write_obj(value, self.field(offset)?).ok()
    }
}

/// `rate`, from 0 to 1, in units of 2^-32.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates, which is what 1.0 needs"
)]
fn share(rate: f64) -> u32 {
    (rate * (f64::from(u32::MAX) + 1.0)).round() as u32
}

#[cfg(test)]
#[path = "handshake_test.rs"]
mod tests;
