package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// A tab is a tab of the browser with the page.
type tab struct {
	*testing.T

	ctx context.Context
}

// open opens the program's page, and waits until both phones are online.
func open(t *testing.T, ctx context.Context, p *program) tab {
	t.Helper()
	b := tab{t, ctx}
	require.NoError(t, chromedp.Listen(ctx, func(event any) {
		if e, ok := event.(*runtime.EventExceptionThrown); ok {
			t.Errorf("the page's script: %+v", e.ExceptionDetails)
		}
	}))
	b.do(chromedp.Navigate(p.address))
	b.state("ada", "online")
	b.state("ben", "online")
	return b
}

func (b tab) do(actions ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	require.NoError(b, chromedp.Do(b.ctx, actions...))
}

// await waits until an expression of the page's script is true.
func (b tab) await(expression string) {
	b.Helper()
	_, err := chromedp.Run(b.ctx, chromedp.Poll[bool](expression, chromedp.WithPollingInterval(20*time.Millisecond), chromedp.WithPollingTimeout(time.Minute)))
	if err != nil {
		b.Fatalf("%s: %v; the page shows\n%s", expression, err, b.eval("document.body.innerText"))
	}
}

func (b tab) eval(expression string) string {
	b.Helper()
	value, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](expression))
	require.NoError(b, err)
	return value
}

// write types a text on a phone and sends it, by keyboard.
func (b tab) write(phone, text string) {
	b.Helper()
	b.do(chromedp.SendKeys(chromedp.CSS("#"+phone+" input"), text+"\r"))
}

// flip flips a phone's switch.
func (b tab) flip(phone string) {
	b.Helper()
	b.do(chromedp.Click(chromedp.CSS("#" + phone + " [role=switch]")))
}

// state waits until a phone says that it is in a state.
func (b tab) state(phone, state string) {
	b.Helper()
	b.await(fmt.Sprintf("document.querySelector('#%s [role=status]')?.textContent === %q", phone, state))
}

// shows waits until a phone shows as many messages, and checks which.
func (b tab) shows(phone string, texts ...string) {
	b.Helper()
	b.await(fmt.Sprintf("document.querySelectorAll('#%s li').length >= %d", phone, len(texts)))
	b.await("!document.querySelector('.pending')")
	require.Equal(b, texts, b.texts(phone), phone)
}

// texts returns what a phone shows, without the times.
func (b tab) texts(phone string) []string {
	b.Helper()
	texts, err := chromedp.Run(b.ctx, chromedp.Evaluate[[]string](
		fmt.Sprintf("[...document.querySelectorAll('#%s li')].map((li) => li.firstChild.data)", phone)))
	require.NoError(b, err)
	return texts
}

// media makes the page light or dark, and still or not.
func (b tab) media(scheme, motion string) {
	b.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: motion}},
	})
	require.NoError(b, err)
}

// pictures takes pictures of the page on a desktop, a tablet and a phone, light and
// dark. On none may it be wider than the screen.
func (b tab) pictures(name string) {
	b.Helper()
	for _, screen := range []struct {
		name          string
		width, height int64
	}{{"desktop", 1280, 800}, {"tablet", 820, 1100}, {"phone", 390, 844}} {
		b.do(chromedp.EmulateViewport(screen.width, screen.height))
		for _, scheme := range []string{"light", "dark"} {
			b.media(scheme, "no-preference")
			b.picture(fmt.Sprintf("%s-%s-%s", name, screen.name, scheme))
		}
		require.Equal(b, fmt.Sprint(screen.width), b.eval("String(document.documentElement.scrollWidth)"), "%s on a %s scrolls sideways", name, screen.name)
	}
	b.do(chromedp.EmulateViewport(1280, 800))
}

// picture writes a PNG of the page to the folder SCREENSHOTS. Without one there is none:
// they take long.
func (b tab) picture(name string) {
	b.Helper()
	dir := os.Getenv("SCREENSHOTS")
	if dir == "" {
		return
	}
	require.NoError(b, os.MkdirAll(dir, 0o755))
	const best = 100 // and so a PNG
	png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(best))
	require.NoError(b, err)
	file := filepath.Join(dir, name+".png")
	require.NoError(b, os.WriteFile(file, png, 0o600))
	b.Logf("see %s", file)
}

func TestTwoPhonesTalk(t *testing.T) {
	ctx := browser(t)
	b := open(t, ctx, chat(t))

	b.write("ada", "Good morning, Ben!")
	b.shows("ben", "Good morning, Ben!")
	b.write("ben", "Good morning <b>Ada</b> & co. <img src=x onerror=alert(1)>")
	greetings := []string{"Good morning, Ben!", "Good morning <b>Ada</b> & co. <img src=x onerror=alert(1)>"}
	b.shows("ada", greetings...)
	b.shows("ben", greetings...)
	require.Empty(t, b.eval("[...document.querySelectorAll('li b, li img')].join()"), "text became elements")

	b.flip("ben")
	b.state("ben", "offline")
	away := []string{"Are you away?", "Ben?", "Then later.", "I wanted to say", "that it is raining."}
	for _, text := range away {
		b.write("ada", text)
	}
	conversation := slices.Concat(greetings, away)
	b.shows("ada", conversation...)
	b.await("document.getElementById('waiting').textContent === '5'")
	b.shows("ben", greetings...)
	b.pictures("offline")

	b.flip("ben")
	b.state("ben", "online")
	b.shows("ben", conversation...)
	b.await("document.getElementById('waiting').textContent === '0'")

	b.await("document.getElementById('measured').textContent === '2'") // those that did not wait
	b.await("/^[0-9.]+ ms$/.test(document.getElementById('median').textContent)")
	b.await("/^[0-9.]+ ms$/.test(document.getElementById('p99').textContent)")
}

func TestManyMessagesAtOnceKeepTheirOrderAndComeOnce(t *testing.T) {
	ctx := browser(t)
	b := open(t, ctx, chat(t))
	const each = 60
	b.burst(each)
	b.await(fmt.Sprintf("document.getElementById('measured').textContent === '%d'", 2*each))
	b.eachInOrder(each)
}

// burst writes n messages on each phone at once.
func (b tab) burst(n int) {
	b.Helper()
	b.eval(fmt.Sprintf("for (let i = 1; i <= %d; i++) for (const p of Object.values(phones)) p.send(`${i} from ${p.me}`); ''", n))
}

// eachInOrder checks that both phones show the messages of a burst, once and in order.
func (b tab) eachInOrder(each int) {
	b.Helper()
	for phone, peer := range map[string]string{"ada": "ben", "ben": "ada"} {
		want := make([]string, each)
		for i := range want {
			want[i] = fmt.Sprintf("%d from %s", i+1, peer)
		}
		var got []string
		for _, text := range b.texts(phone) {
			if strings.HasSuffix(text, peer) {
				got = append(got, text)
			}
		}
		require.Equal(b, want, got, phone)
		require.Len(b, b.texts(phone), 2*each)
	}
}

func TestTheyTalkAndTheReadoutSaysHowFast(t *testing.T) {
	ctx := browser(t)
	b := open(t, ctx, chat(t))
	b.do(chromedp.Click(chromedp.CSS("#talk")))
	b.await("document.getElementById('measured').textContent === '40'")
	t.Logf("from Send to the screen: median %s, 99th percentile %s",
		b.eval("document.getElementById('median').textContent"), b.eval("document.getElementById('p99').textContent"))
	b.pictures("talk")
}

// comesToRest waits until the page says that so many messages were sent and deleted,
// that nothing is left between, and that no dot is drawn any more.
func (b tab) comesToRest(messages int) {
	b.Helper()
	for id, want := range map[string]int{"sent": messages, "deleted": messages, "queued": 0, "inFlight": 0} {
		b.await(fmt.Sprintf("document.getElementById('%s').textContent === '%d'", id, want))
	}
	b.await("!document.querySelector('#tube i')")
}

func TestNumbersOfTheQueueComeToRestAtSentEqualsDeleted(t *testing.T) {
	ctx := browser(t)
	b := open(t, ctx, chat(t))
	b.await("document.getElementById('news').textContent === 'live'")
	b.comesToRest(0)
	b.pictures("idle")

	b.write("ada", "Good morning, Ben!")
	b.shows("ben", "Good morning, Ben!")
	b.comesToRest(1)
	b.await("/^[0-9.]+ ms$/.test(document.getElementById('pushed').textContent)")
	b.pictures("one")

	const each = 25
	b.eval("window.drawn = 0; new MutationObserver((all) => { for (const m of all) drawn += m.addedNodes.length; }).observe(document.getElementById('tube'), { childList: true }); ''")
	b.burst(each)
	b.await("drawn > 0")
	b.pictures("burst")
	b.comesToRest(1 + 2*each)
	b.await("document.getElementById('SendMessage').textContent === '51'")
	b.await("Number(document.getElementById('each').textContent) > 1") // sends, and receives and deletes besides

	b.do(chromedp.Reload())
	b.state("ada", "online")
	b.comesToRest(1 + 2*each)
	b.pictures("reloaded")
}

func TestNumbersGoOnWhileBothPhonesAreOffline(t *testing.T) {
	ctx := browser(t)
	b := open(t, ctx, chat(t))
	b.flip("ada")
	b.flip("ben")
	b.eval("post('/messages', { id: newID(), from: 'ada', to: 'ben', text: 'from elsewhere' }); ''")
	b.comesToRest(1)
	b.await("document.getElementById('waiting').textContent === '1'")
}

func TestNothingMovesForWhoWantsNoMotion(t *testing.T) {
	ctx := browser(t)
	b := open(t, ctx, chat(t))
	b.media("light", "reduce")
	b.write("ada", "Good morning, Ben!")
	b.comesToRest(1)
	require.Equal(t, "0s", b.eval("const i = document.createElement('i'); tube.append(i); const d = getComputedStyle(i).transitionDuration; i.remove(); d"))
}

func TestReloadAndSecondTabShowTheSameOnce(t *testing.T) {
	ctx := browser(t)
	p := chat(t)
	first := open(t, ctx, p)
	first.write("ada", "one")
	first.shows("ben", "one")
	first.write("ben", "two")
	first.shows("ada", "one", "two")

	other, cancel := chromedp.NewContext(ctx)
	defer cancel()
	second := open(t, other, p)
	second.shows("ada", "one", "two")
	second.write("ada", "three")
	second.shows("ben", "one", "two", "three")

	_, err := chromedp.Call(ctx, page.BringToFront, cdp.Empty{})
	require.NoError(t, err)
	first.shows("ada", "one", "two", "three")
	first.shows("ben", "one", "two", "three")
	first.do(chromedp.Reload())
	first.shows("ada", "one", "two", "three")
	first.shows("ben", "one", "two", "three")
}

func TestProgramThatStopsAndStartsIsNoticedAndNothingIsLost(t *testing.T) {
	ctx := browser(t)
	p := chat(t)
	b := open(t, ctx, p)
	b.write("ada", "before")
	b.shows("ben", "before")

	p.stop()
	b.state("ben", "connecting")
	b.write("ada", "meanwhile")
	b.await("!!document.querySelector('#ada .pending')")
	p.start(strings.TrimSuffix(strings.TrimPrefix(p.address, "http://"), "/"))
	b.shows("ben", "before", "meanwhile")
	b.write("ben", "after")
	b.shows("ada", "before", "meanwhile", "after")
}

func TestProgramThatIsKilledInTheMiddleLosesNothingAndShowsNothingTwice(t *testing.T) {
	ctx := browser(t)
	p := chat(t)
	b := open(t, ctx, p)
	const each = 40
	b.burst(each)
	b.await("document.querySelectorAll('#ben li:not(.mine)').length >= 10")
	p.kill()
	b.await("!!document.querySelector('.pending')")
	p.start(strings.TrimSuffix(strings.TrimPrefix(p.address, "http://"), "/"))
	b.await(fmt.Sprintf("[...document.querySelectorAll('ol')].every((list) => list.children.length >= %d)", 2*each))
	b.await("!document.querySelector('.pending')")
	b.eachInOrder(each)
}
