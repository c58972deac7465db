//! Delegation: several sources in a row, a helper's return value, and what is sent or thrown reaching the innermost.
use boros_coro::{BoxCoroutine, BoxGenerator, Co, Error, coroutine, generator};

/// Letters, then digits, then the first of them again.
fn keys() -> BoxGenerator<'static, char> {
    generator(async |mut co| {
        co.yield_all("xyz".chars()).await;
        let digits = generator(async |mut co| {
            co.yield_all('1'..='3').await;
            3
        });
        let count = co.yield_from(digits).await;
        co.yield_all(count.and_then(|count| char::from_digit(count, 10))).await;
    })
    .boxed()
}

type Question = &'static str;
type Answer = Option<&'static str>;
type Form<R> = BoxCoroutine<'static, Question, Answer, R, &'static str>;
type FormCo<'g, 'e> = Co<'g, 'e, Question, Answer, &'static str>;

/// Asks one thing until it is answered.
fn ask(question: Question) -> Form<String> {
    coroutine(async move |mut co: FormCo<'_, '_>| {
        loop {
            match co.yield_(question).await? {
                Some(answer) => return Ok(answer.to_string()),
                None => println!("  (no answer; asking again)"),
            }
        }
    })
    .boxed()
}

/// Asks for an address, with one helper for each line of it.
fn address() -> Form<String> {
    coroutine(async |mut co: FormCo<'_, '_>| {
        let street = co.yield_from(ask("street?")).await?;
        let town = match co.yield_from(ask("town?")).await {
            Err(Error::Raised(reason)) => format!("a place unnamed ({reason})"),
            town => town?,
        };
        Ok(format!("{street}, {town}"))
    })
    .boxed()
}

/// Asks for everything.
fn order() -> Form<String> {
    coroutine(async |mut co: FormCo<'_, '_>| {
        let name = co.yield_from(ask("name?")).await?;
        let address = co.yield_from(address()).await?;
        Ok(format!("to {name}, {address}"))
    })
    .boxed()
}

fn main() -> Result<(), Error<&'static str>> {
    println!("{}", keys().map(String::from).collect::<Vec<_>>().join(" "));

    let mut order = order();
    println!("{:?}", order.next()?);
    println!("{:?}", order.send(Some("Ada"))?);
    println!("{:?}", order.next()?);
    println!("{:?}", order.send(Some("12 Mill Lane"))?);
    println!("{:?}", order.throw("the line is bad")?);
    Ok(())
}
