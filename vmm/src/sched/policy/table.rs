//! The policies without settings, a line each.
//!
//! A policy is a file of this folder, with a type that is a [`Rule`](super::Rule), and a line here. `--sched`, its help,
//! the tests of all policies and the table of the reference come from the lines. `adversarial` has settings and a part in
//! the guest, and stands beside them.

/// Hands the lines to the macro `$to`. They have
///
/// - file and type, and the variant of [`PolicyKind`](crate::sched::config::PolicyKind);
/// - the name on command lines and in reports;
/// - what the reference says: who is next, and what else there is to say.
macro_rules! policies {
    ($to:ident) => {
        $to! {
            round_robin::RoundRobin, RoundRobin "round-robin", "who queued first |";
            random::Random, Random "random", "drawn, see [below](#seeds-and-decisions) |";
            fair::Fair, Fair "fair",
                "who has held tokens for the least time; of equals, who queued first | who comes from a halt or a stop is set forward to the least of those that wait or run: time that it did not want is not made up for. Who loses its token keeps what it is behind";
            gang::Gang, Gang "gang",
                "of the gang whose turn it is, else of the gangs that come next in turn; within a gang who queued first | vCPUs 0 to P - 1 are a gang, P to 2P - 1 the next, and so on. At its slice's end the turn goes to the next gang of which somebody waits, and members that wait take the tokens of strangers, one each, at once";
        }
    };
}
pub(in crate::sched) use policies;
