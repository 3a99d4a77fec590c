//! A problem that is found again each time is told once.

/// What was told last, if it is still so.
#[derive(Debug, Default)]
pub struct Told(Option<String>);

impl Told {
    /// Nothing is wrong any more: the next problem is told, even the same.
    pub fn over(&mut self) {
        self.0 = None;
    }

    /// Whether this problem is to be told: it is another one than before.
    pub fn is_news(&mut self, problem: &str) -> bool {
        if self.0.as_deref() == Some(problem) {
            return false;
        }
        self.0 = Some(problem.to_owned());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_problem_is_told_once_until_it_was_over() {
        let mut told = Told::default();
        assert!(told.is_news("a") && !told.is_news("a") && told.is_news("b") && told.is_news("a"));
        told.over();
        assert!(told.is_news("a"));
    }
}
