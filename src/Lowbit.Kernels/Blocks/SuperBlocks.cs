namespace Lowbit.Kernels.Blocks;

/// <summary>ggml's K-quants: 256 weights in sub-blocks whose scales are themselves few-bit codes.</summary>
internal static unsafe class SuperBlocks
{
    internal static void Q2_K(BlockQ2_K* block, long blocks, float* w)
    {
        for (; blocks > 0; blocks--, block++, w += 256)
        {
            float scale = (float)block->Scale, minimumScale = (float)block->MinimumScale;
            for (int sub = 0; sub < 16; sub++)
            {
                float step = scale * (block->Scales[sub] & 0xF), minimum = minimumScale * (block->Scales[sub] >> 4);
                for (int i = 16 * sub; i < 16 * sub + 16; i++) w[i] = step * TwoBits(block->Codes, i) - minimum;
            }
        }
    }

    internal static void Q3_K(BlockQ3_K* block, long blocks, float* w)
    {
        for (; blocks > 0; blocks--, block++, w += 256)
        {
            float scale = (float)block->Scale;
            for (int sub = 0; sub < 16; sub++)
            {
                int low = block->Scales[sub % 8] >> (4 * (sub / 8)) & 0xF;
                int high = block->Scales[8 + sub % 4] >> (2 * (sub / 4)) & 3;
                float step = scale * ((low | high << 4) - 32);
                for (int i = 16 * sub; i < 16 * sub + 16; i++)
                    w[i] = step * ((TwoBits(block->Codes, i) | (block->HighBits[i % 32] >> (i / 32) & 1) << 2) - 4);
            }
        }
    }

    internal static void Q4_K(BlockQ4_K* block, long blocks, float* w)
    {
        for (; blocks > 0; blocks--, block++, w += 256)
        {
            float scale = (float)block->Scale, minimumScale = (float)block->MinimumScale;
            for (int sub = 0; sub < 8; sub++)
            {
                (int s, int m) = SixBitPair(block->Scales, sub);
                float step = scale * s, minimum = minimumScale * m;
                for (int i = 32 * sub; i < 32 * sub + 32; i++) w[i] = step * FourBits(block->Codes, i) - minimum;
            }
        }
    }

    internal static void Q5_K(BlockQ5_K* block, long blocks, float* w)
    {
        for (; blocks > 0; blocks--, block++, w += 256)
        {
            float scale = (float)block->Scale, minimumScale = (float)block->MinimumScale;
            for (int sub = 0; sub < 8; sub++)
            {
                (int s, int m) = SixBitPair(block->Scales, sub);
                float step = scale * s, minimum = minimumScale * m;
                for (int i = 32 * sub; i < 32 * sub + 32; i++)
                    w[i] = step * (FourBits(block->Codes, i) | (block->HighBits[i % 32] >> sub & 1) << 4) - minimum;
            }
        }
    }

    internal static void Q6_K(BlockQ6_K* block, long blocks, float* w)
    {
        for (; blocks > 0; blocks--, block++, w += 256)
        {
            float scale = (float)block->Scale;
            for (int sub = 0; sub < 16; sub++)
            {
                float step = scale * block->Scales[sub];
                for (int i = 16 * sub; i < 16 * sub + 16; i++)
                {
                    int low = block->Codes[i / 128 * 64 + i % 64] >> (i % 128 / 64 * 4) & 0xF;
                    w[i] = step * ((low | TwoBits(block->HighBits, i) << 4) - 32);
                }
            }
        }
    }

    /// <summary>Code i of 256 codes of 2 bits: halves of 128, four planes of 32 in a byte.</summary>
    private static int TwoBits(byte* codes, int i) => codes[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3;

    /// <summary>Code i of 256 codes of 4 bits: runs of 64, two planes of 32 in a byte.</summary>
    private static int FourBits(byte* codes, int i) => codes[i / 64 * 32 + i % 32] >> (i % 64 / 32 * 4) & 0xF;

    private static (int Scale, int Minimum) SixBitPair(byte* scales, int sub) => sub < 4
        ? (scales[sub] & 63, scales[sub + 4] & 63)
        : (scales[sub + 4] & 0xF | scales[sub - 4] >> 6 << 4, scales[sub + 4] >> 4 | scales[sub] >> 6 << 4);
}
