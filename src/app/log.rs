//! How the log is written: one line an event, as text or as JSON, cleaned by [`crate::redact`], and no flood of it.
//!
//! What a peer can cause again and again must not fill the disk: of each place in the code, [`MOST`] lines are written
//! in [`WINDOW`], and how many were held back is told afterwards. The stories of calls (`story`) are written
//! in full, and so is what an operator asks for with `debug` and `trace`.

use crate::{net::clock, redact::clean};
use std::{
    collections::HashMap,
    io::{self, Write},
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tracing::{Event, Level, Metadata, Subscriber, callsite::Identifier};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    fmt::MakeWriter,
    layer::{Context, Filter, SubscriberExt},
    reload,
};

/// The target of the stories of calls.
pub const STORY: &str = "hotline::call";
/// Lines of one place in the code within [`WINDOW`].
pub const MOST: u32 = 50;
/// See [`MOST`].
pub const WINDOW: Duration = Duration::from_secs(10);

/// What changes the filter of a log that runs.
pub type FilterHandle = reload::Handle<EnvFilter, Registry>;

/// What is set as the program's log: `filter` decides what is said, until another one is put in force, `writer` where
/// it goes.
pub fn subscriber<W>(filter: EnvFilter, json: bool, writer: W) -> (Box<dyn Subscriber + Send + Sync>, FilterHandle)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(Cleaning(writer));
    let (filter, handle) = reload::Layer::new(filter);
    let registry = Registry::default().with(filter);
    let subscriber: Box<dyn Subscriber + Send + Sync> = if json {
        Box::new(registry.with(lines.json().flatten_event(true).with_filter(Limit)))
    } else {
        Box::new(registry.with(lines.with_filter(Limit)))
    };
    (subscriber, handle)
}

/// Cleans each line on its way to another writer.
struct Cleaning<W>(W);

/// The same for one line.
struct CleanLine<W>(W);

impl<'a, W: MakeWriter<'a>> MakeWriter<'a> for Cleaning<W> {
    type Writer = CleanLine<W::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        CleanLine(self.0.make_writer())
    }
}

impl<W: Write> Write for CleanLine<W> {
    /// The formatter hands over each event in one piece.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let (cleaned, struck) = clean(line);
        if struck > 0 {
            metrics::counter!("hotline_log_numbers_struck_total").increment(struck as u64);
        }
        self.0.write_all(&cleaned)?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Holds back what comes too often.
struct Limit;

impl<S> Filter<S> for Limit {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        let metadata = event.metadata();
        if *metadata.level() > Level::INFO || metadata.target() == STORY || metadata.target() == module_path!() {
            return true;
        }
        places().takes(metadata.callsite(), clock::now().mono, || {
            format!("{}:{}", metadata.file().unwrap_or_default(), metadata.line().unwrap_or_default())
        })
    }
}

static PLACES: LazyLock<Mutex<Places>> = LazyLock::new(Mutex::default);

fn places() -> MutexGuard<'static, Places> {
    PLACES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tells how many lines were held back since it was last asked; called now and then.
pub(super) fn tell_held_back() {
    let held = places().held_back(clock::now().mono);
    for (place, lines) in held {
        metrics::counter!("hotline_log_held_back_total").increment(lines);
        tracing::warn!(place, lines, "lines like those before were held back: they came too often");
    }
}

/// The places in the code that write lines, as many as there are in the program.
#[derive(Default)]
struct Places(HashMap<Identifier, Place>);

struct Place {
    name: String,
    since: Instant,
    lines: u32,
    held: u64,
}

impl Places {
    fn takes(&mut self, id: Identifier, now: Instant, name: impl FnOnce() -> String) -> bool {
        let place = self.0.entry(id).or_insert_with(|| Place { name: name(), since: now, lines: 0, held: 0 });
        if now.saturating_duration_since(place.since) >= WINDOW {
            (place.since, place.lines) = (now, 0);
        }
        place.lines += 1;
        let takes = place.lines <= MOST;
        place.held += u64::from(!takes);
        takes
    }

    fn held_back(&mut self, now: Instant) -> Vec<(String, u64)> {
        let over = |place: &&mut Place| place.held > 0 && now.saturating_duration_since(place.since) >= WINDOW;
        self.0.values_mut().filter(over).map(|place| (place.name.clone(), std::mem::take(&mut place.held))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tracing::Callsite;

    /// Lines, kept.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Kept {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    fn written(json: bool, filter: &str, work: impl FnOnce()) -> String {
        let kept = Kept::default();
        let writer = kept.clone();
        tracing::subscriber::with_default(subscriber(EnvFilter::new(filter), json, move || writer.clone()).0, work);
        kept.text()
    }

    #[test]
    fn a_line_holds_neither_numbers_nor_breaks() {
        let line =
            || tracing::info!(call = %crate::ids::CallId(7), from = "13900000001", "one\nforged INFO 13900000002");
        let text = written(false, "info", line);
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains("call=7") && text.contains("139****0001") && text.contains("139****0002"), "{text}");
        let json = written(true, "info", line);
        let value: serde_json::Value = serde_json::from_str(json.trim_end()).unwrap();
        assert_eq!((&value["call"], &value["from"]), (&"7".into(), &"139****0001".into()), "{json}");
        assert!(!json.contains("13900000002"), "{json}");
    }

    #[test]
    fn a_flood_is_held_back_and_a_story_is_not() {
        let text = written(false, "info,hotline::app::log::tests=debug", || {
            for n in 0..3 * MOST {
                tracing::warn!(n, "flood");
                tracing::info!(target: STORY, n, "story");
                tracing::debug!(n, "asked for");
            }
        });
        let count = |word: &str| text.lines().filter(|line| line.contains(word)).count() as u32;
        assert_eq!((count("flood"), count("story"), count("asked for")), (MOST, 3 * MOST, 3 * MOST));
    }

    #[test]
    fn what_was_held_back_is_told_once_when_its_time_is_over() {
        struct Here;
        impl Callsite for Here {
            fn set_interest(&self, _: tracing::subscriber::Interest) {}
            fn metadata(&self) -> &Metadata<'_> {
                unreachable!("only its identity is asked for")
            }
        }
        static HERE: Here = Here;
        let id = || tracing::callsite::Identifier(&HERE);
        let mut places = Places::default();
        let start = clock::now().mono;
        let taken = (0..MOST + 7).filter(|_| places.takes(id(), start, || "here".into())).count() as u32;
        assert_eq!(taken, MOST);
        assert!(places.held_back(start).is_empty(), "more may come");
        assert_eq!(places.held_back(start + WINDOW), [("here".to_owned(), 7)]);
        assert!(places.held_back(start + WINDOW).is_empty());
        assert!(places.takes(id(), start + WINDOW, || "here".into()), "the next window");
    }
}
