//! A telephone that holds by its own button, in each of the three ways, and then dies: it is found out all the same.

use crate::world::{Who, World};
use hotline::{
    call::cdr::{StateName, What},
    media::sdp::Direction,
};

/// The ways to hold: two directions (RFC 3264 section 8.4), and the address of zeros from before it.
#[derive(Clone, Copy, Debug)]
enum Way {
    SendOnly,
    Inactive,
    Zeros,
}

const WAYS: [Way; 3] = [Way::SendOnly, Way::Inactive, Way::Zeros];

fn talking() -> (World, Who, Who) {
    let mut w = World::new();
    let agent = w.agent("8001");
    let citizen = w.citizen("1001");
    w.calls(citizen);
    w.run(3);
    (w, citizen, agent)
}

/// `who` holds, and is silent from then on.
fn holds(w: &mut World, who: Who, way: Way) {
    w.phones[who].mute = true;
    match way {
        Way::SendOnly => w.reinvites(who, Direction::SendOnly),
        Way::Inactive => w.reinvites(who, Direction::Inactive),
        Way::Zeros => {
            let leg = w.phones[who].lines()[0];
            w.phones[who].hold_by_zeros(w.now, leg);
        }
    }
    w.run(1);
    assert_eq!(w.phones[who].legs.values().next().unwrap().offers, [200], "{way:?}");
}

#[test]
fn an_agent_who_holds_is_asked_for_a_sign_of_life_and_is_not_lost() {
    for way in WAYS {
        let (mut w, citizen, agent) = talking();
        holds(&mut w, agent, way);
        w.run(600);
        assert_eq!(w.state(citizen), StateName::Talking, "{way:?}");
        let asked = w.count("switch>8001: OPTIONS");
        assert!((60..=121).contains(&asked), "{way:?}: {asked}");
        w.ends();
    }
}

#[test]
fn an_agent_whose_telephone_dies_while_it_holds_is_lost() {
    for way in WAYS {
        let (mut w, citizen, agent) = talking();
        holds(&mut w, agent, way);
        w.run(60);
        w.phones[agent].dead = true;
        w.until(15, "the loss is found out", |w| w.state(citizen) == StateName::Queued);
        w.ends();
    }
}

#[test]
fn a_citizen_whose_telephone_dies_while_it_holds_is_hung_up_after_five_minutes() {
    for way in WAYS {
        let (mut w, citizen, agent) = talking();
        holds(&mut w, citizen, way);
        w.phones[citizen].dead = true;
        w.run(290);
        assert!(w.is_up(agent), "{way:?}");
        w.until(20, "the silence is found out", |w| !w.is_up(agent));
        assert_eq!(w.what(citizen), Some(What::Lost), "{way:?}");
        w.ends();
    }
}
