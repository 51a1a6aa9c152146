package main

import "math"

// The house's colours. night is also the background colour of the pass, so that the strip grows out of it.
//
//nolint:gochecknoglobals // a palette
var (
	night  = hex(0x17122B)
	violet = hex(0x4A2BC2)
	rose   = hex(0xC43A86)
	coral  = hex(0xFF7A52)
	amber  = hex(0xFFC46B)
	white  = hex(0xFFFFFF)
	clear  = rgba{1, 1, 1, 0}
)

// dusk is the gradient of the house: violet, rose, coral.
func dusk(t float64) rgba {
	if t < 0.55 {
		return mix(violet, rose, t/0.55)
	}
	return mix(rose, coral, (t-0.55)/0.45)
}

// stroke reports whether (x, y) is within half a width of the line from a to b, with round ends.
func stroke(x, y, ax, ay, bx, by, width float64) bool {
	dx, dy := bx-ax, by-ay
	t := ((x-ax)*dx + (y-ay)*dy) / (dx*dx + dy*dy)
	t = min(max(t, 0), 1)
	return math.Hypot(x-ax-t*dx, y-ay-t*dy) <= width/2
}

// ring reports whether (x, y) is on the circle line around (cx, cy).
func ring(x, y, cx, cy, radius, width float64) bool {
	return math.Abs(math.Hypot(x-cx, y-cy)-radius) <= width/2
}

// ticket reports whether (x, y), relative to its middle, is inside a ticket: rounded corners, a notch above and below, and
// a perforation between them.
func ticket(x, y, width, height float64) bool {
	const corner = 0.18 // of the height
	r := corner * height
	qx, qy := math.Abs(x)-width/2+r, math.Abs(y)-height/2+r
	if math.Hypot(max(qx, 0), max(qy, 0))+min(max(qx, qy), 0) > r {
		return false
	}
	tear := x - width*0.16
	if math.Hypot(tear, math.Abs(y)-height/2) < height*0.17 {
		return false
	}
	dash := math.Mod(math.Abs(y)+height*0.055, height*0.22)
	return math.Abs(tear) > height*0.035 || dash > height*0.11
}

// icon is a white ticket on the gradient. iOS rounds the corners.
func icon(x, y float64) rgba {
	const size, tilt = 29.0, -math.Pi / 7
	u, v := x-size/2, y-size/2
	tx, ty := u*math.Cos(tilt)+v*math.Sin(tilt), -u*math.Sin(tilt)+v*math.Cos(tilt)
	// The tilt turns the axes; y points down.
	if ticket(tx, ty, 20.5, 12.5) {
		return white
	}
	return dusk((x + size - y) / (2 * size))
}

// logo is the ticket and the name in letters of one stroke width, white on nothing.
func logo(x, y float64) rgba {
	const tilt = -math.Pi / 7
	u, v := x-17, y-19.5
	tx, ty := u*math.Cos(tilt)+v*math.Sin(tilt), -u*math.Sin(tilt)+v*math.Cos(tilt)
	if ticket(tx, ty, 26, 16) {
		return white
	}
	if letters(x-40, y) {
		return white
	}
	return clear
}

// letters writes "dayof" with its baseline at y = 29.
func letters(x, y float64) bool {
	const (
		base   = 29.0
		radius = 6.6
		width  = 3.4
		middle = base - radius
		high   = base - 22.4 // top of d and f
		low    = base + 7    // foot of y
		top    = base - 2*radius
	)
	bowl := func(cx float64) bool { return ring(x, y, cx, middle, radius, width) }
	stem := func(sx, from, to float64) bool { return stroke(x, y, sx, from, sx, to, width) }
	d, a, o := 7.0, 26.5, 65.5
	switch {
	case bowl(d), stem(d+radius, high, base):
		return true
	case bowl(a), stem(a+radius, top, base):
		return true
	case bowl(o):
		return true
	}
	const yLeft, yRight = 39.0, 52.0
	yFoot := (yLeft + yRight) / 2
	if stroke(x, y, yLeft, top, yFoot, base-0.6, width) || stroke(x, y, yRight, top, yFoot-3.3, low, width) {
		return true
	}
	const f = 78.5
	hook := x >= f && y <= high+5 && ring(x, y, f+5, high+5, 5, width) && x <= f+5.6
	return hook || stem(f, high+5, base) || stroke(x, y, f-3.2, top, f+5, top, width)
}

// strip is a stage at dusk: a low sun, beams of light, and the crowd in front of it. Its left half is calm, because the
// event's name is written there in white.
func strip(x, y float64) rgba {
	const width, height = 375.0, 98.0
	if crowd(x, y, height) {
		return night
	}
	c := mix(mix(night, violet, 0.55), dusk(0.12+0.78*x/width), 0.25+0.75*x/width)
	const sunX, sunY = 300.0, 84.0
	if distance := math.Hypot(x-sunX, y-sunY); distance < 46 {
		return mix(amber, coral, (y-40)/46)
	} else if distance < 58 {
		c = mix(c, amber, 0.22)
	} else if distance < 72 {
		c = mix(c, amber, 0.10)
	}
	for i, from := range []float64{236, 268, 332, 364} {
		// Beams fan out from lamps above the picture.
		lean := []float64{-0.75, -0.28, 0.24, 0.7}[i]
		centre, half := from+lean*(y+10), 3+0.085*(y+10)
		if math.Abs(x-centre) < half {
			c = mix(c, white, 0.10)
		}
	}
	return c
}

// crowd is the silhouette along the lower edge: heads, shoulders, and some arms in the air.
func crowd(x, y, height float64) bool {
	if y > height-5 {
		return true
	}
	const spacing = 12.0
	first := int(math.Floor(x/spacing)) - 1
	for i := first; i <= first+2; i++ {
		// A fixed scatter, so that no two neighbours are alike.
		h := math.Abs(math.Mod(math.Sin(float64(i)*12.9898)*43758.5453, 1))
		k := math.Abs(math.Mod(math.Sin(float64(i)*78.233)*12543.123, 1))
		cx := (float64(i)+0.5)*spacing + (h-0.5)*5
		// Lower at the left, under the name.
		rise := 5 + 7*h + 7*min(max((cx-120)/200, 0), 1)
		cy := height - rise
		if math.Hypot(x-cx, y-cy) < 3.6 {
			return true
		}
		if shoulder := math.Hypot((x-cx)/1.55, y-cy-8.6); shoulder < 5.2 || y > cy+8.6 && math.Abs(x-cx) < 8 {
			return true
		}
		if k > 0.68 && cx > 150 {
			side := 1.0
			if h > 0.5 {
				side = -1
			}
			if stroke(x, y, cx+side*5.2, cy+6.5, cx+side*(6.4+3*k), cy-4-4*k, 2.4) {
				return true
			}
		}
	}
	return false
}
