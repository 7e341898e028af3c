using System;
using System.Numerics;
using Lowbit.Core;

namespace Lowbit.Kernels.PartiallyBinarized;

/// <summary>
/// The coded form of the positions of salient weights: a Golomb-Rice code (Rice, JPL Publication 79-22) of the gaps, the
/// numbers of low weights before each salient one, the matrix taken row after row as one sequence. A gap g is written as
/// g &gt;&gt; k ones, a zero and the k low bits of g, lowest first; bits fill bytes from the lowest up. Eight bytes with the number
/// of salient weights come first. At one salient weight in ten this takes 0.48 bits a weight.
/// </summary>
public static unsafe class RicePositions
{
    /// <summary>Largest parameter.</summary>
    public const int MaxParameter = 30;

    private const int HeaderBytes = sizeof(ulong);

    /// <summary>The parameter that gives the shortest code.</summary>
    /// <param name="bitmap">[rows, words], rows padded to whole words.</param>
    /// <param name="rows">Rows.</param>
    /// <param name="columns">Weights of a row.</param>
    public static int BestParameter(ReadOnlySpan<ulong> bitmap, int rows, int columns)
    {
        Span<long> bits = stackalloc long[MaxParameter + 1];
        bits.Clear();
        GapReader gaps = new(bitmap, rows, columns);
        while (gaps.Next(out long gap))
        {
            for (int k = 0; k <= MaxParameter; k++) bits[k] += (gap >> k) + 1 + k;
        }
        int best = 0;
        for (int k = 1; k <= MaxParameter; k++)
        {
            if (bits[k] < bits[best]) best = k;
        }
        return best;
    }

    /// <summary>Codes a bitmap.</summary>
    /// <param name="bitmap">[rows, words], rows padded to whole words.</param>
    /// <param name="rows">Rows.</param>
    /// <param name="columns">Weights of a row.</param>
    /// <param name="parameter">k, 0 to <see cref="MaxParameter"/>.</param>
    public static byte[] Encode(ReadOnlySpan<ulong> bitmap, int rows, int columns, int parameter)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(parameter);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(parameter, MaxParameter);
        long bits = 0, count = 0;
        GapReader counter = new(bitmap, rows, columns);
        while (counter.Next(out long gap))
        {
            bits += (gap >> parameter) + 1 + parameter;
            count++;
        }
        byte[] bytes = new byte[checked(HeaderBytes + (bits + 7) / 8)];
        BitConverter.TryWriteBytes(bytes, count);
        long position = 8 * HeaderBytes;
        GapReader gaps = new(bitmap, rows, columns);
        while (gaps.Next(out long gap))
        {
            for (long ones = gap >> parameter; ones > 0; ones--) Set(bytes, position++);
            position++;
            for (int bit = 0; bit < parameter; bit++, position++)
            {
                if ((gap >> bit & 1) != 0) Set(bytes, position);
            }
        }
        return bytes;
    }

    /// <summary>Expands a code to the bitmap.</summary>
    /// <param name="name">Name of the tensor, for messages.</param>
    /// <param name="code">What <see cref="Encode"/> wrote.</param>
    /// <param name="rows">Rows.</param>
    /// <param name="columns">Weights of a row.</param>
    /// <param name="parameter">k.</param>
    /// <param name="bitmap">[rows, words], cleared before.</param>
    /// <exception cref="LowbitException">The code is cut off, has bytes left over or leads beyond the matrix.</exception>
    public static void Decode(string name, ReadOnlySpan<byte> code, int rows, int columns, int parameter, ulong* bitmap)
    {
        long weights = (long)rows * columns, words = (columns + 63) / 64;
        if (code.Length < HeaderBytes) throw Bad(name, $"has {code.Length} bytes, the number of salient weights alone takes {HeaderBytes}");
        ulong count = BitConverter.ToUInt64(code);
        if (count > (ulong)weights) throw Bad(name, $"announces {count} salient weights in a matrix of {weights}");
        long position = -1, bit = 8 * HeaderBytes, end = 8L * code.Length;
        for (ulong i = 0; i < count; i++)
        {
            long quotient = 0;
            while (true)
            {
                if (bit >= end) throw Bad(name, $"ends after {i} of {count} salient weights");
                // The ones that are left in this byte, up to its end.
                int ones = BitOperations.TrailingZeroCount(~((uint)code[(int)(bit >> 3)] >> (int)(bit & 7)));
                int left = 8 - (int)(bit & 7);
                quotient += Math.Min(ones, left);
                bit += Math.Min(ones, left);
                if (ones < left) break;
            }
            bit++;
            if (bit + parameter > end) throw Bad(name, $"ends after {i} of {count} salient weights");
            long rest = 0;
            for (int shift = 0; shift < parameter;)
            {
                int taken = Math.Min(8 - (int)(bit & 7), parameter - shift);
                rest |= (long)(code[(int)(bit >> 3)] >> (int)(bit & 7) & ((1 << taken) - 1)) << shift;
                shift += taken;
                bit += taken;
            }
            position += quotient > weights >> parameter ? weights : (quotient << parameter | rest) + 1; // the sum cannot overflow
            if (position >= weights) throw Bad(name, $"puts salient weight {i} at {position} in a matrix of {weights}");
            long row = position / columns, column = position - row * columns;
            bitmap[row * words + (column >> 6)] |= 1UL << (int)(column & 63);
        }
        if ((bit & 7) != 0 && code[(int)(bit >> 3)] >> (int)(bit & 7) != 0) throw Bad(name, "has ones after its last salient weight");
        if ((bit + 7) / 8 != code.Length) throw Bad(name, $"has {code.Length} bytes, its {count} salient weights take {(bit + 7) / 8}");
    }

    private static LowbitException Bad(string name, string problem) =>
        new($"tensor {name}: the coded positions are damaged: the code {problem}; fetch or write the file again.");

    private static void Set(byte[] bytes, long bit) => bytes[bit >> 3] |= (byte)(1 << (int)(bit & 7));

    private ref struct GapReader(ReadOnlySpan<ulong> bitmap, int rows, int columns)
    {
        private readonly ReadOnlySpan<ulong> _bitmap = bitmap;
        private readonly int _words = (columns + 63) / 64;
        private long _last = -1;
        private int _word = -1;
        private ulong _left;

        public bool Next(out long gap)
        {
            while (_left == 0)
            {
                if (++_word == rows * _words)
                {
                    gap = 0;
                    return false;
                }
                _left = _bitmap[_word];
            }
            int row = _word / _words;
            long position = (long)row * columns + (_word - row * _words) * 64L + BitOperations.TrailingZeroCount(_left);
            _left &= _left - 1;
            gap = position - _last - 1;
            _last = position;
            return true;
        }
    }
}
