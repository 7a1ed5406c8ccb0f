//! From a story that fails to the shortest one that fails in the same way.

use super::{Failure, Rule, Story, tell};

/// Drops steps as long as the story still fails at the same place: in halves, quarters and so on, then one by one; then
/// brings the steps closer together. So many tries at most.
const TRIES: usize = 4_000;

pub struct Shrinker<'a> {
    failure: Failure,
    rule: Option<Rule>,
    tries: usize,
    tell: &'a mut dyn FnMut(&str),
}

/// The shortest story that fails as `story` does, and how it fails. `tell` hears how it goes.
pub fn shortest(story: Story, failure: Failure, rule: Option<Rule>, tell: &mut dyn FnMut(&str)) -> (Story, Failure) {
    let mut shrinker = Shrinker { failure, rule, tries: 0, tell };
    let mut story = story;
    loop {
        let before = story.clone();
        story = shrinker.fewer(story);
        story = shrinker.sooner(story);
        if story == before || shrinker.tries >= TRIES {
            return (story, shrinker.failure);
        }
    }
}

impl Shrinker<'_> {
    /// Whether a story fails as the first one did.
    fn fails(&mut self, story: &Story) -> bool {
        if self.tries >= TRIES {
            return false;
        }
        self.tries += 1;
        match tell(story, self.rule) {
            Err(failure) if failure.place == self.failure.place => {
                self.failure = failure;
                true
            }
            _ => false,
        }
    }

    /// Delta debugging: ever smaller pieces are left out.
    fn fewer(&mut self, mut story: Story) -> Story {
        let mut piece = story.steps.len().div_ceil(2);
        while piece > 0 {
            let mut from = 0;
            while from < story.steps.len() {
                let mut shorter = story.clone();
                shorter.steps.drain(from..(from + piece).min(story.steps.len()));
                if self.fails(&shorter) {
                    story = shorter;
                } else {
                    from += piece;
                }
            }
            (self.tell)(&format!("{} steps are left after {} tries", story.steps.len(), self.tries));
            piece = if piece == 1 { 0 } else { piece.div_ceil(2) };
        }
        story
    }

    /// Moves each step, with all that follow, as near to the one before as it still fails.
    fn sooner(&mut self, mut story: Story) -> Story {
        for at in 0..story.steps.len() {
            let before = if at == 0 { story.begins() } else { story.steps[at - 1].at };
            for gap in [0, 100, 500, 1_000, 2_000, 5_000, 10_000, 20_000] {
                let now = story.steps[at].at.saturating_sub(before);
                if gap >= now {
                    break;
                }
                let mut nearer = story.clone();
                nearer.steps[at..].iter_mut().for_each(|step| step.at -= now - gap);
                if self.fails(&nearer) {
                    story = nearer;
                    break;
                }
            }
        }
        story
    }
}
