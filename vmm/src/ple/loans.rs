//! pCPUs that are lent under the handshake: who has whose.
//!
//! A loan is noted before it is made, since its borrower may be outside its locks at once, and ends with
//! the first that happens: the borrower gives it back, the lender gets another pCPU, or the borrower
//! loses what was lent to it, which is noticed when it gets a pCPU that is not the lent one.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// No loan. No lender has this number, shifted as it is.
const NONE: usize = usize::MAX;

/// The borrower has got the pCPU that was lent to it.
const ARRIVED: usize = 1;

/// The loan that a word stands for.
const fn promised(lender: usize) -> usize {
    lender << 1
}

const fn lender(loan: usize) -> usize {
    loan >> 1
}

/// The loans of one machine: of each borrower its lender and [`ARRIVED`]. Relaxed, all of it: a word is
/// all there is to hand over, and a loan that is missed or lost ends with the slice.
#[derive(Debug)]
pub(super) struct Loans {
    by_borrower: Vec<AtomicUsize>,
}

impl Loans {
    /// None yet, among `vcpus` vCPUs.
    pub(super) fn new(vcpus: usize) -> Self {
        Self {
            by_borrower: (0..vcpus).map(|_| AtomicUsize::new(NONE)).collect(),
        }
    }

    fn change(&self, borrower: usize, from: usize, to: usize) -> bool {
        let word = self.by_borrower.get(borrower);
        word.is_some_and(|word| word.compare_exchange(from, to, Relaxed, Relaxed).is_ok())
    }

    fn of(&self, borrower: usize) -> usize {
        let word = self.by_borrower.get(borrower);
        word.map_or(NONE, |word| word.load(Relaxed))
    }

    /// Notes that `from` is about to lend its pCPU to `to`, which has none; whether it may: not while
    /// another is about to.
    pub(super) fn lend(&self, from: usize, to: usize) -> bool {
        let before = self.of(to);
        // One that had arrived is over: its borrower has lost it.
        (before == NONE || before & ARRIVED != 0) && self.change(to, before, promised(from))
    }

    /// The loan was not made; whether there still was one.
    pub(super) fn cancel(&self, from: usize, to: usize) -> bool {
        self.change(to, promised(from), NONE)
    }

    /// Ends the loan of `borrower`; its lender.
    pub(super) fn end(&self, borrower: usize) -> Option<usize> {
        let loan = self.by_borrower.get(borrower)?.swap(NONE, Relaxed);
        (loan != NONE).then(|| lender(loan))
    }

    /// The lender of `borrower`.
    pub(super) fn lender_of(&self, borrower: usize) -> Option<usize> {
        Some(self.of(borrower))
            .filter(|loan| *loan != NONE)
            .map(lender)
    }

    /// `lender` gets back what it lent: what was lent to itself before is with it again.
    pub(super) fn comes_back_to(&self, lender: usize) {
        let loan = self.of(lender);
        if loan != NONE && loan & ARRIVED != 0 {
            self.change(lender, loan, loan & !ARRIVED);
        }
    }

    /// `vcpu` has got a pCPU. Whether it had borrowed another, and has lost that.
    pub(super) fn gets_pcpu(&self, vcpu: usize) -> bool {
        // It needs nothing back any more.
        for (borrower, word) in self.by_borrower.iter().enumerate() {
            let loan = word.load(Relaxed);
            if loan != NONE && lender(loan) == vcpu {
                self.change(borrower, loan, NONE);
            }
        }
        let loan = self.of(vcpu);
        if loan == NONE {
            return false;
        }
        if loan & ARRIVED == 0 {
            self.change(vcpu, loan, loan | ARRIVED);
            return false;
        }
        self.change(vcpu, loan, NONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lender_leaves_the_first_ones_loan_alone() {
        let loans = Loans::new(3);
        assert!(loans.lend(0, 2));
        assert!(!loans.lend(1, 2));
        assert!(!loans.cancel(1, 2), "it is not his");
        assert_eq!(loans.lender_of(2), Some(0));
        assert!(loans.cancel(0, 2));
        assert_eq!(loans.lender_of(2), None);
        assert!(loans.lend(1, 2));
    }

    #[test]
    fn a_loan_is_over_when_its_borrower_has_lost_the_pcpu() {
        let loans = Loans::new(2);
        loans.lend(0, 1);
        assert!(!loans.gets_pcpu(1), "the lent one");
        assert_eq!(loans.lender_of(1), Some(0));
        assert!(loans.gets_pcpu(1), "another");
        assert_eq!(loans.end(1), None);
    }

    #[test]
    fn a_borrower_that_lost_its_pcpu_may_borrow_again() {
        let loans = Loans::new(3);
        loans.lend(0, 2);
        loans.gets_pcpu(2);
        assert!(loans.lend(1, 2));
        assert_eq!(loans.end(2), Some(1));
    }

    #[test]
    fn who_lends_what_it_has_borrowed_has_it_still_when_it_comes_back() {
        let loans = Loans::new(3);
        loans.lend(0, 1);
        loans.gets_pcpu(1);
        loans.lend(1, 2);
        loans.gets_pcpu(2);
        assert_eq!(loans.end(2), Some(1));
        loans.comes_back_to(1);
        assert!(!loans.gets_pcpu(1));
        assert_eq!(loans.end(1), Some(0));
    }

    #[test]
    fn a_lender_with_another_pcpu_needs_nothing_back() {
        let loans = Loans::new(3);
        loans.lend(0, 2);
        loans.gets_pcpu(0);
        assert_eq!(loans.end(2), None);
    }

    #[test]
    fn a_vcpu_that_there_is_not_has_no_loans() {
        let loans = Loans::new(1);
        assert!(!loans.lend(0, 7) && !loans.cancel(0, 7) && !loans.gets_pcpu(7));
        assert_eq!(loans.end(7), None);
    }
}
