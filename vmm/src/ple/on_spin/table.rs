//! The handlers, a line each.
//!
//! A handler is a file of this folder, with a function `decide`, and a line here. `--on-spin`, its help, the property
//! tests, experiments that say `on-spin = "every"` and the table of the reference come from the lines.

/// Hands the lines to the macro `$to`. They have
///
/// - the file, the variant of [`OnSpin`](crate::ple::config::OnSpin), and the name on command lines and in reports;
/// - whether it decides who runs (`Yields`), for which the VMM must schedule, or not (`Stays`);
/// - what `--help` says;
/// - what the reference says: where it is from, its commit, what it looks at, where the pCPU goes.
macro_rules! handlers {
    ($to:ident) => {
        $to! {
            none, None "none", Stays, "Nothing: the vCPU spins on",
                "before 2.6.33 | | nothing | the spinner";
            sleep, Sleep "sleep", Stays, "It sleeps for 100 us (2009)",
                "2.6.33, 2009 | `d255f4f2bac8` | nothing | whoever is next; the spinner sleeps 100 µs";
            round_robin, RoundRobin "round-robin", Yields, "It yields to the next vCPU in turn (2011)",
                "2.6.39, 2011 | `217ece6129f2` | standings, who was boosted last | the next in turn that is preempted or kicked";
            dy_eligible, DyEligible "dy-eligible", Yields, "It yields to the next one that does not spin itself, or whose turn it is (2012)",
                "3.7, 2012 | `4c088493c8d0`, `06e48c510aa3`, `5cfc2aabcb28` | the same, and who spins | the next that is preempted, and does not spin or was passed over the last time";
            kick_yield, KickYield "kick-yield", Yields, "As dy-eligible, and kicked vCPUs count as able to run (2019)",
                "5.3, 2019 | `d73eb57b80b9`, `266e85a5ec91` | the same, and who was in its kernel | as `dy-eligible`; kicked counts as ready, preempted only in the kernel (4.14, `199b5763d329`)";
            pending_irq, PendingIrq "pending-irq", Yields, "As kick-yield, and vCPUs with a pending interrupt come first (2021)",
                "5.13, 2021 | `52acd22faa1a` | the same, and pending interrupts | as `kick-yield`; outside the kernel counts too where an interrupt waits";
            handshake, Handshake "handshake", Yields, "Who is kicked or holds the lock gets the pCPU; a waiter without hope halts",
                "ours | | the same, and what the guest says | see [below](#the-handshakes-rules)";
        }
    };
}
pub(in crate::ple) use handlers;
