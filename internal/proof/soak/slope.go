package main

import "math"

// A slope is how fast something grows, with the standard error of that.
type slope struct {
	perHour, err float64
}

// fit returns the slope of the least squares line through the points, of which there
// must be three or more; x in hours. What is left over of one point is much like what
// is left over of the point before, since memory grows in steps, so there is less to
// be learnt from n points than from n independent ones: the error is corrected for
// their correlation.
func fit(x, y []float64) slope {
	mx, my := mean(x), mean(y)
	var sxx, sxy float64
	for i := range x {
		sxx += (x[i] - mx) * (x[i] - mx)
		sxy += (x[i] - mx) * (y[i] - my)
	}
	s := slope{perHour: sxy / sxx}
	rest := make([]float64, len(x))
	var squares, lagged float64
	for i := range x {
		rest[i] = y[i] - my - s.perHour*(x[i]-mx)
		squares += rest[i] * rest[i]
		if i > 0 {
			lagged += rest[i] * rest[i-1]
		}
	}
	if squares == 0 {
		return s
	}
	const most = 0.95 // with more, the points would tell next to nothing
	seen := lagged / squares
	seen += (1 + 4*seen) / float64(len(x)) // a line takes part of the correlation with it (Kendall's bias, with a trend)
	correlation := min(most, max(0, seen))
	s.err = math.Sqrt(squares / float64(len(x)-2) / sxx * (1 + correlation) / (1 - correlation))
	return s
}

func mean(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return sum / float64(len(v))
}
