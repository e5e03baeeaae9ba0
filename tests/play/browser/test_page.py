"""The page of `worldkv play` in a real browser, on the demo world."""

import pytest

from worldkv_jax.media.video_reading import read_video

pytestmark = pytest.mark.browser
COMPARED = "#seed=3&memories=default,window"
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


def test_turning_away_and_back_shows_the_same_place(world, visit):
    visitor = visit(world + COMPARED)
    assert visitor.page.locator(".lane").count() == 2
    visitor.walk("l", 15)
    turned = visitor.pixels()
    visitor.walk("j", 15)
    assert visitor.pixels() != turned
    remembered, forgotten = visitor.decibels()
    assert remembered > forgotten + 3
    assert visitor.page.locator(".thumbnails li").count() > 0
    assert "recalled now" in visitor.page.locator("#map").get_attribute("aria-label")


def test_a_visitor_who_touches_nothing_sees_a_walk(world, visit):
    visitor = visit(world)
    visitor.hear("The camera turns away")
    visitor.page.keyboard.press("w")
    visitor.until("document.querySelector('#caption').textContent === ''")


def test_branches_and_goes_back(world, visit):
    visitor = visit(world + "#seed=4&memories=default")
    visitor.walk("w", 6)
    length, slider = visitor.position, visitor.page.get_by_role("slider")
    slider.focus()
    for _ in range(4):
        visitor.page.keyboard.press("ArrowLeft")
    visitor.button("Branch off here").click()
    visitor.until("document.querySelectorAll('.strip').length === 2")
    visitor.rest()
    assert visitor.position == length - 4
    visitor.page.locator("#pictures").focus()
    visitor.walk("d", 2)

    visitor.page.get_by_role("slider").first.focus()
    visitor.page.keyboard.press("ArrowLeft")
    visitor.button("Change to this branch").click()
    visitor.until("document.querySelector('.strip.current .name').textContent === 'Main'")
    visitor.page.get_by_role("slider").first.focus()
    for _ in range(5):
        visitor.page.keyboard.press("ArrowLeft")
    visitor.button("Go back here").click()
    visitor.until(f"!document.querySelector('#moment').textContent.includes(' {length} chunk')")
    visitor.rest()
    assert visitor.position == length - 5


def test_records(world, visit, tmp_path):
    visitor = visit(world + "#seed=5&memories=default")
    visitor.button("Record").click()
    visitor.button("Stop recording").wait_for()
    visitor.walk("w", 4)
    visitor.button("Stop recording").click()
    frames, _ = read_video(visitor.download(visitor.page.get_by_role("link", name="Download mp4"), tmp_path))
    assert len(frames) >= 12 and frames.std() > 5


def test_a_reload_comes_back_to_the_session(world, visit):
    visitor = visit(world + COMPARED)
    visitor.walk("w", 4)
    session, position = visitor.session(), visitor.position
    visitor.page.reload()
    visitor.wait_to_play()
    visitor.rest()
    assert (visitor.session(), visitor.position) == (session, position)
    assert any(visitor.pixels())


def test_a_shared_world_is_the_same_bit_for_bit(world, visit, tmp_path):
    visitor = visit(world + COMPARED)
    visitor.walk("l", 3)
    visitor.walk("w", 2)
    saved, shown = visitor.session_file(tmp_path), visitor.pixels()
    visitor.button("Share").click()
    visitor.button("Copy the address").click()
    visitor.page.locator("#address").wait_for()

    for again in (visit(world), visit(visitor.page.locator("#address").input_value())):
        if "#" not in again.page.url or "world=" not in again.page.url:
            again.page.locator("#open-file").set_input_files(next(tmp_path.glob("*.json")))
        again.hear(f"Replayed {len(saved['controls'])} chunks, bit for bit the same.")
        again.rest()
        assert again.position == visitor.position
        assert again.session_file(tmp_path) == saved
        assert again.pixels() == shown


def test_needs_no_mouse(world, visit):
    visitor = visit(world + "#seed=6&memories=default")
    keyboard = visitor.page.keyboard
    keyboard.press("Tab")
    keyboard.press("Enter")  # to the picture
    assert visitor.page.evaluate("document.activeElement.id") == "pictures"
    keyboard.down("ArrowLeft")
    assert visitor.page.locator(".pad .held").inner_text() == "J"
    visitor.wait_for(visitor.position + 1)
    keyboard.up("ArrowLeft")
    visitor.rest()
    reached = []
    for _ in range(40):
        keyboard.press("Tab")
        reached.append(visitor.page.evaluate("document.activeElement.id || document.activeElement.textContent"))
    assert {"memory", "beside", "seed", "record", "fork-now", "W", "J"} <= set(reached)

    visitor.page.locator("#seed").focus()
    position = visitor.position
    keyboard.press("w")  # letters belong to a field while one types
    visitor.page.locator("#beside").focus()
    keyboard.type("Sliding")
    visitor.until("document.querySelectorAll('.lane').length === 2")
    visitor.rest()
    assert visitor.position == position


def test_keys_are_let_go_when_the_page_is_left(world, visit):
    visitor = visit(world + "#seed=7&memories=default")
    visitor.page.keyboard.down("w")
    visitor.page.locator(".pad .held").wait_for()
    visitor.page.evaluate("dispatchEvent(new Event('blur'))")
    assert visitor.page.locator(".pad .held").count() == 0


def test_everything_has_a_name_that_is_read_out(world, visit):
    page = visit(world).page
    nameless = page.evaluate(
        """[...document.querySelectorAll('button, input, select, a, canvas, [role=group]')]
            .filter(e => e.ariaHidden !== 'true' && e.checkVisibility())
            .filter(e => !(e.ariaLabel || e.textContent.trim() || e.labels?.length))
            .map(e => e.outerHTML)"""
    )
    assert nameless == []
    assert page.locator("h1").count() == 1 and page.locator("main").count() == 1
    assert page.evaluate("document.documentElement.lang") == "en"
    assert page.get_by_role("status").count() > 0


def test_fits_a_phone(world, visit):
    visitor = visit(world, **PHONE)
    widths = visitor.page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert widths == [390, 390]
    forward = visitor.page.get_by_role("button", name="forward")
    box = forward.bounding_box()
    assert min(box["width"], box["height"]) >= 44 and box["y"] + box["height"] <= 844
    forward.tap()
    visitor.rest()
    position = visitor.position
    forward.tap()
    visitor.wait_for(position + 1)


def test_looks_with_the_mouse(world, visit):
    visitor = visit(world + "#seed=8&memories=default")
    visitor.page.keyboard.press("w")
    visitor.rest()
    position, mouse = visitor.position, visitor.page.mouse
    visitor.page.locator("#pictures").click()
    visitor.until("document.pointerLockElement?.id === 'pictures'")
    for step in range(10):
        mouse.move(400 + 10 * step, 300)
    visitor.wait_for(position + 1)


def test_comes_back_after_a_lost_connection_and_after_sleep(world, visit):
    visitor = visit(world + "#seed=9&memories=default")
    sockets = []
    visitor.page.route_web_socket("**/v1/**", lambda socket: (socket.connect_to_server(), sockets.append(socket)))
    visitor.page.reload()
    visitor.wait_to_play()
    visitor.walk("l", 2)
    session, position = visitor.session(), visitor.position

    sockets[-1].close(code=3001, reason="the cable was pulled")
    visitor.hear("The connection is lost.")
    visitor.wait_to_play()
    visitor.rest()
    assert (visitor.session(), visitor.position) == (session, position)

    sockets[-1].close(code=1000, reason="idle")
    visitor.page.get_by_text("The world sleeps.").wait_for()
    visitor.walk("w", 2)
    assert visitor.session() == session and len(sockets) == 3


def test_files_that_are_no_sessions_are_refused_in_words(world, visit):
    visitor = visit(world + "#seed=10&memories=default")
    visitor.walk("l", 3)
    session, position, shown = visitor.session(), visitor.position, visitor.pixels()
    files = visitor.page.locator("#open-file")
    visitor.button("Share").click()
    files.set_input_files({"name": "notes.txt", "mimeType": "text/plain", "buffer": b"nonsense"})
    visitor.hear("notes.txt is no session file")
    files.set_input_files({"name": "other.json", "mimeType": "application/json", "buffer": b'{"seed": 1}'})
    visitor.hear("this is no session file of this version")
    visitor.wait_to_play()
    visitor.rest()
    assert (visitor.session(), visitor.position, visitor.pixels()) == (session, position, shown)  # the world before
    visitor.walk("j", 2)

    visitor.page.evaluate("location.hash = '#seed=3&world=nonsense'")  # an address that was cut off
    visitor.page.get_by_text("The world in the address cannot be read").wait_for()
    visitor.wait_to_play()
    assert visitor.session() == session and visitor.page.url.endswith("#seed=10&memories=default")
    assert visitor.position >= position + 2
