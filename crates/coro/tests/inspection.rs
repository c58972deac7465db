//! States, places, delegates and exposed values, as seen from outside and from within.
use boros_coro::{
    BoxCoroutine, BoxGenerator, Co, Error, MisuseKind, Resume, Shared, State, Yielder, coroutine,
    generator,
};

#[test]
fn a_view_names_the_line_of_the_yield() {
    let mut body = generator(async |mut co| {
        co.yield_(1).await;
        co.yield_(2).await;
    })
    .boxed();
    assert_eq!(body.view().location(), None);
    assert!(body.view().name().contains("a_view_names_the_line"), "{}", body.view().name());
    body.next();
    let first = body.view().location().expect("it waits at a yield");
    assert!(first.file().ends_with("inspection.rs"));
    body.next();
    let second = body.view().location().expect("it waits at a yield");
    assert_eq!(second.line(), first.line() + 1);
    body.next();
    assert_eq!((body.view().location(), body.view().state()), (None, State::Closed));
}

#[test]
fn a_view_follows_the_delegates() {
    fn level(depth: u32) -> BoxGenerator<'static, u32> {
        generator(async move |mut co: Yielder<'_, '_, u32>| {
            if depth > 0 {
                co.yield_from(level(depth - 1)).await;
            }
            co.yield_(depth).await;
        })
        .boxed()
    }
    let mut root = level(2);
    root.next();
    let lines = |root: &BoxGenerator<'_, u32>| {
        std::iter::successors(Some(root.view()), |view| view.delegate())
            .filter_map(|view| view.location().map(|at| at.line()))
            .collect::<Vec<_>>()
    };
    let [outer, middle, inner] = lines(&root)[..] else { panic!("{root:?}") };
    assert_eq!((outer, middle + 2), (middle, inner));
    root.next();
    assert_eq!(lines(&root), [outer, inner]);
    root.next();
    assert_eq!(lines(&root), [inner]);
}

#[test]
fn a_body_shows_values_by_name() {
    let mut body = generator(async |mut co| {
        for n in 0..2u8 {
            co.expose("n", n);
            co.expose("text", format!("<{n}>"));
            co.yield_(n).await;
        }
    })
    .boxed();
    let shown = |body: &BoxGenerator<'_, u8>| {
        body.view().exposed().map(|(name, text)| format!("{name}={text}")).collect::<Vec<_>>()
    };
    assert!(shown(&body).is_empty());
    body.next();
    assert_eq!(shown(&body), ["n=0", "text=\"<0>\""]);
    body.next();
    assert_eq!(shown(&body), ["n=1", "text=\"<1>\""]);
    let text = format!("{body:?}");
    assert!(
        text.starts_with("BoxGenerator { body: ") && text.contains("state: Suspended, at: "),
        "{text}"
    );
    assert!(text.ends_with("n: 1, text: \"<1>\" }"), "{text}");
    body.next();
    assert!(shown(&body).is_empty());
}

#[test]
fn a_body_that_steps_itself_is_told() {
    let shared: Shared<BoxCoroutine<'static, State, (), MisuseKind>> = Shared::new_cyclic(|me| {
        coroutine(async move |mut co: Co<'_, '_, State>| {
            let me = me.upgrade().expect("it is being stepped");
            co.yield_(me.state()).await?;
            assert!(me.look(|_| ()).is_none());
            match (me.step(Resume::Next), me.close()) {
                (Err(Error::Misuse(step)), Err(Error::Misuse(close))) if step == close => {
                    Ok(step.kind())
                }
                other => panic!("{other:?}"),
            }
        })
        .boxed()
    });
    assert_eq!(shared.state(), State::Created);
    assert_eq!(
        shared.step(Resume::Next).ok().and_then(|step| step.yielded()),
        Some(State::Running)
    );
    assert_eq!(shared.look(|view| view.state()), Some(State::Suspended));
    let end = shared.clone().step(Resume::Next).ok().and_then(|step| step.returned());
    assert_eq!(end, Some(MisuseKind::AlreadyRunning));
    assert_eq!(shared.state(), State::Closed);
}
