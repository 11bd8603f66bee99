package sqstest_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/sqstest"
)

// tell is story with options of the server.
func tell(t *testing.T, queue string, options []sqstest.Option, tale func(scene)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := sqstest.New(options...)
		tale(scene{t, s, s.MustCreateQueue(queue, nil)})
	})
}

// numbers sends messages whose bodies are 0 to n-1.
func (c scene) numbers(n int) {
	c.Helper()
	for i := range n {
		c.s.Send(c.url, strconv.Itoa(i))
	}
}

// answers receives with long polls until each of n messages came, and returns the bodies of each answer.
func (c scene) answers(n int) (all [][]int) {
	c.Helper()
	for n > 0 {
		var bodies []int
		for _, m := range c.receive(10, 20) {
			number, err := strconv.Atoi(*m.Body)
			require.NoError(c, err)
			bodies = append(bodies, number)
		}
		all = append(all, bodies)
		n -= len(bodies)
	}
	return all
}

func TestALongPollIsAnsweredByOneServerThatHasSomething(t *testing.T) {
	const servers, messages = 20, 100
	tell(t, "q", []sqstest.Option{sqstest.Servers(servers)}, func(c scene) {
		c.numbers(messages)
		start := time.Now()
		answers := c.answers(messages)
		require.Zero(c, time.Since(start), "each is answered at once")
		seen := slices.Concat(answers...)
		slices.Sort(seen)
		require.Len(c, slices.Compact(seen), messages, "all come, each once")
		require.Greater(c, len(answers), messages/10+servers/3, "answers are not full")
		for _, one := range answers {
			require.NotEmpty(c, one)
			require.True(c, slices.IsSorted(one), "the oldest of a server first: %v", one)
		}
	})
}

func TestAnAnswerNeverMixesServers(t *testing.T) {
	const servers, messages = 5, 200
	lies := make([]int, messages) // with which other message each lies on a server; a message by itself with none
	for i := range lies {
		lies[i] = i
	}
	root := func(m int) int {
		for lies[m] != m {
			m = lies[m]
		}
		return m
	}
	for _, size := range []int{7, 10} { // answers that overlap, so that they tell of all on their server
		cut := sqstest.AnswerSize(func(*rand.Rand) int { return size })
		tell(t, "q", []sqstest.Option{sqstest.Servers(servers), cut}, func(c scene) {
			c.numbers(messages)
			for _, one := range c.answers(messages) {
				for _, m := range one[1:] {
					lies[root(m)] = root(one[0])
				}
			}
		})
	}
	count := 0
	for m := range lies {
		if lies[m] == m {
			count++
		}
	}
	require.Equal(t, servers, count)
}

func TestAShortPollMayMissMessages(t *testing.T) {
	tell(t, "q", []sqstest.Option{sqstest.Servers(10)}, func(c scene) {
		c.numbers(1)
		polls := 1
		for ; len(c.receive(10, 0)) == 0; polls++ {
			require.Less(c, polls, 200, "one in ten finds it")
		}
		require.Greater(c, polls, 1)
	})
}

func TestALongPollWaitsForWhicheverServer(t *testing.T) {
	tell(t, "q", []sqstest.Option{sqstest.Servers(50)}, func(c scene) {
		for i := range 20 {
			var wg sync.WaitGroup
			start := time.Now()
			wg.Go(func() {
				ms := c.receive(10, 20)
				require.Equal(c, strconv.Itoa(i), joined(ms))
				require.Equal(c, 3*time.Second, time.Since(start))
				require.NoError(c, c.delete(ms[0]))
			})
			time.Sleep(3 * time.Second)
			c.s.Send(c.url, strconv.Itoa(i))
			wg.Wait()
		}
	})
}

func TestALongPollGoesOnToTheNextServerWhereOnlyDeadLettersAre(t *testing.T) {
	tell(t, "q", []sqstest.Option{sqstest.Servers(4)}, func(c scene) {
		graves := c.s.MustCreateQueue("graves", nil)
		_, err := c.s.SetQueueAttributes(c.Context(), &sqs.SetQueueAttributesInput{QueueUrl: &c.url, Attributes: map[string]string{
			"RedrivePolicy": `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:graves","maxReceiveCount":"1"}`, "VisibilityTimeout": "5",
		}})
		require.NoError(c, err)
		c.numbers(30)
		c.answers(30)
		time.Sleep(5 * time.Second) // all are visible, and have been received often enough
		c.s.Send(c.url, "30")
		require.Equal(c, "30", joined(c.receive(10, 1)))
		require.Empty(c, c.receive(10, 1))
		require.Len(c, c.s.Messages(graves), 30)
	})
}

func TestGroupsOfAFIFOQueueLieOnOneServerEach(t *testing.T) {
	tell(t, "q.fifo", []sqstest.Option{sqstest.Servers(4)}, func(c scene) {
		const groups, each = 12, 6
		for i := range each {
			for g := range groups {
				c.send(string(rune('a'+g)) + strconv.Itoa(i))
			}
		}
		next := map[string]int{}
		answers := 0
		for n := 0; n < groups*each; answers++ {
			for _, m := range c.receive(10, 20) {
				group := (*m.Body)[:1]
				require.Equal(c, group+strconv.Itoa(next[group]), *m.Body, "the order of the group")
				next[group]++
				n++
				require.NoError(c, c.delete(m))
			}
		}
		require.Greater(c, answers, groups*each/10, "they lie on several")
	})
}

func TestMessagesMoveFromAllServers(t *testing.T) {
	tell(t, "q", []sqstest.Option{sqstest.Servers(7)}, func(c scene) {
		source := c.s.MustCreateQueue("letters", nil)
		_, err := c.s.SetQueueAttributes(c.Context(), &sqs.SetQueueAttributesInput{QueueUrl: &c.url, Attributes: map[string]string{
			"RedrivePolicy": `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:letters","maxReceiveCount":"1"}`,
		}})
		require.NoError(c, err)
		for i := range 40 {
			c.s.Send(source, strconv.Itoa(i))
		}
		_, err = c.s.StartMessageMoveTask(c.Context(), &sqs.StartMessageMoveTaskInput{
			SourceArn: new("arn:aws:sqs:us-east-1:000000000000:letters"), DestinationArn: new("arn:aws:sqs:us-east-1:000000000000:q"),
		})
		require.NoError(c, err)
		time.Sleep(time.Minute)
		require.Len(c, c.s.Messages(c.url), 40)
		require.Empty(c, c.s.Messages(source))
	})
}

func TestAnswersAreCut(t *testing.T) {
	for _, queue := range []string{"q", "q.fifo"} {
		t.Run(queue, func(t *testing.T) {
			size := func(r *rand.Rand) int { return 1 + r.IntN(3) }
			tell(t, queue, []sqstest.Option{sqstest.AnswerSize(size)}, func(c scene) {
				c.numbers(100)
				counts := map[int]int{}
				for range 40 {
					ms := c.receive(10, 20)
					counts[len(ms)]++
					for _, m := range ms {
						require.NoError(c, c.delete(m))
					}
				}
				for n := 1; n <= 3; n++ {
					require.Greater(c, counts[n], 5, "answers of %d", n)
				}
				require.Len(c, counts, 3)
			})
		})
	}
}

func TestAnAnswerIsNotLongerThanAskedFor(t *testing.T) {
	tell(t, "q", []sqstest.Option{sqstest.AnswerSize(func(*rand.Rand) int { return 100 })}, func(c scene) {
		c.numbers(20)
		require.Len(c, c.receive(4, 20), 4)
		require.Len(c, c.receive(10, 20), 10)
	})
}

func TestAnEmptyAnswerComesAtOnceAlthoughMessagesWait(t *testing.T) {
	empty := true
	tell(t, "q", []sqstest.Option{sqstest.AnswerSize(func(*rand.Rand) int {
		empty = !empty
		if empty {
			return 0
		}
		return 10
	})}, func(c scene) {
		c.numbers(20)
		start := time.Now()
		require.Len(c, c.receive(10, 20), 10)
		require.Empty(c, c.receive(10, 20))
		require.Len(c, c.receive(10, 20), 10)
		require.Empty(c, c.receive(10, 20))
		require.Zero(c, time.Since(start))
		require.Empty(c, c.receive(10, 20))
		require.Equal(c, 20*time.Second, time.Since(start), "a poll whose answer may have ten waits for the first")
	})
}

func TestADistributionOfAnswersMayChangeWithTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := sqstest.New(sqstest.AnswerSize(func(*rand.Rand) int {
			if time.Since(start) < time.Minute {
				return 2
			}
			return 7
		}))
		c := scene{t, s, s.MustCreateQueue("q", nil)}
		c.numbers(20)
		require.Len(c, c.receive(10, 20), 2)
		time.Sleep(time.Minute)
		require.Len(c, c.receive(10, 20), 7)
	})
}

func TestDisorderIsBounded(t *testing.T) {
	const messages, most = 500, 20
	tell(t, "q", []sqstest.Option{sqstest.Disorder(most)}, func(c scene) {
		c.numbers(messages)
		order := slices.Concat(c.answers(messages)...)
		require.False(c, slices.IsSorted(order))
		furthest := 0
		for at, m := range order {
			ahead := 0
			for _, other := range order[:at] {
				if other > m {
					ahead++
				}
			}
			furthest = max(furthest, ahead)
		}
		require.LessOrEqual(c, furthest, most)
		require.Greater(c, furthest, most/2)
	})
}

func TestAMessageThatIsVisibleAgainKeepsItsPlaceInTheDisorder(t *testing.T) {
	tell(t, "q", []sqstest.Option{sqstest.Disorder(10)}, func(c scene) {
		c.numbers(60)
		first := c.receive(10, 20)
		for _, m := range first {
			require.NoError(c, c.change(m, 0))
		}
		require.Equal(c, joined(first), joined(c.receive(10, 20)))
	})
}

func TestFIFOQueuesKnowNoDisorder(t *testing.T) {
	tell(t, "q.fifo", []sqstest.Option{sqstest.Disorder(10)}, func(c scene) {
		c.numbers(50)
		for i, m := range c.receive(10, 20) {
			require.Equal(c, strconv.Itoa(i), *m.Body)
		}
	})
}

// chancy is all that chance can decide.
func chancy(seed uint64) []sqstest.Option {
	return []sqstest.Option{
		sqstest.Seed(seed), sqstest.Servers(6), sqstest.Disorder(8),
		sqstest.AnswerSize(func(r *rand.Rand) int { return r.IntN(8) }),
		sqstest.Latency(sqstest.LognormalDelay(20*time.Millisecond, 0.6).WithTails(0.05, 500*time.Millisecond)),
	}
}

// chronicle tells what a seed lets happen.
func chronicle(t *testing.T, seed uint64) string {
	t.Helper()
	var b strings.Builder
	tell(t, "q", chancy(seed), func(c scene) {
		start := time.Now()
		c.numbers(100)
		for n := 0; n < 100; {
			ms := c.receive(10, 20)
			fmt.Fprintln(&b, time.Since(start), joined(ms))
			for _, m := range ms {
				require.NoError(c, c.delete(m))
			}
			n += len(ms)
		}
	})
	return b.String()
}

func TestTheSameSeedAnswersTheSame(t *testing.T) {
	first := chronicle(t, 7)
	require.Equal(t, first, chronicle(t, 7))
	require.NotEqual(t, first, chronicle(t, 8))
}

func TestTheLatencyOfOneOperationDoesNotDependOnOthers(t *testing.T) {
	times := func(disturbed bool) (took []time.Duration) {
		tell(t, "q", chancy(3), func(c scene) {
			for range 20 {
				if disturbed {
					_, err := c.s.ListQueues(c.Context(), nil)
					require.NoError(c, err)
				}
				start := time.Now()
				c.s.Send(c.url, "m")
				took = append(took, time.Since(start))
			}
		})
		return took
	}
	require.Equal(t, times(false), times(true))
}

func TestHalfOfTheLatencyIsTheRequestsAndHalfTheAnswers(t *testing.T) {
	const way = 40 * time.Millisecond
	tell(t, "q", []sqstest.Option{sqstest.Latency(sqstest.FixedDelay(2 * way))}, func(c scene) {
		start := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() { // waits at the queue when the message comes
			require.Equal(c, "m", joined(c.receive(10, 20)))
			require.Equal(c, 3*time.Second+way, time.Since(start))
		})
		time.Sleep(3*time.Second - way)
		c.s.Send(c.url, "m")
		require.Equal(c, 3*time.Second+way, time.Since(start))
		wg.Wait()
		require.Empty(c, c.receive(10, 1))
		require.Equal(c, 4*time.Second+3*way, time.Since(start), "a poll that finds nothing takes both ways besides its time")
	})
}

func TestARefusalTakesBothWaysToo(t *testing.T) {
	for name, provoke := range map[string]func(scene){
		"by the service": func(c scene) {
			require.Error(c, c.delete(types.Message{ReceiptHandle: new("nonsense")}))
		},
		"by a fault": func(c scene) {
			c.s.Inject(sqstest.Fault{Op: "DeleteMessage", Err: sqstest.Unavailable()})
			require.Error(c, c.delete(types.Message{ReceiptHandle: new("nonsense")}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			tell(t, "q", []sqstest.Option{sqstest.Latency(sqstest.FixedDelay(30 * time.Millisecond))}, func(c scene) {
				start := time.Now()
				provoke(c)
				require.Equal(c, 30*time.Millisecond, time.Since(start))
			})
		})
	}
}

func TestACallThatIsCutOnItsWayHasNoEffectAndOnItsWayBackNoAnswer(t *testing.T) {
	tell(t, "q", []sqstest.Option{sqstest.Latency(sqstest.FixedDelay(100 * time.Millisecond))}, func(c scene) {
		send := func(patience time.Duration) {
			ctx, cancel := context.WithTimeout(c.Context(), patience)
			defer cancel()
			_, err := c.s.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &c.url, MessageBody: new("m")})
			require.ErrorIs(c, err, context.DeadlineExceeded)
		}
		send(49 * time.Millisecond)
		require.Empty(c, c.s.Messages(c.url))
		send(51 * time.Millisecond)
		require.Len(c, c.s.Messages(c.url), 1)
	})
}

// quantile returns the time that a share of many draws is below.
func quantile(d sqstest.Delay, share float64) time.Duration {
	const n = 20_000
	r := rand.New(rand.NewPCG(1, 2))
	times := make([]time.Duration, n)
	for i := range times {
		times[i] = d("ReceiveMessage", r)
	}
	slices.Sort(times)
	return times[int(share*n)]
}

func TestDelaysAreDistributedAsTheySay(t *testing.T) {
	const median = 20 * time.Millisecond
	log := sqstest.LognormalDelay(median, 0.4)
	require.InEpsilon(t, float64(median), float64(quantile(log, 0.5)), 0.03)
	require.InEpsilon(t, 2.19*float64(median), float64(quantile(log, 0.975)), 0.06, "two sigma: exp(0.784)")
	require.Equal(t, median, quantile(sqstest.FixedDelay(median), 0.99))
	tails := sqstest.FixedDelay(median).WithTails(0.1, time.Second)
	require.Equal(t, median, quantile(tails, 0.88))
	require.Equal(t, median+time.Second, quantile(tails, 0.92))
}

func TestNegativeLatencyIsNone(t *testing.T) {
	tell(t, "q", []sqstest.Option{sqstest.Latency(sqstest.FixedDelay(-time.Second))}, func(c scene) {
		start := time.Now()
		c.s.Send(c.url, "m")
		require.Zero(c, time.Since(start))
	})
}
