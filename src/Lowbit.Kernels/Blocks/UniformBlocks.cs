namespace Lowbit.Kernels.Blocks;

/// <summary>Blocks of 32 weights on an evenly spaced grid.</summary>
internal static unsafe class UniformBlocks
{
    internal static void Q4_0(BlockQ4_0* block, long blocks, float* w)
    {
        for (; blocks > 0; blocks--, block++, w += 32)
        {
            float scale = (float)block->Scale;
            for (int i = 0; i < 16; i++)
            {
                w[i] = ((block->Codes[i] & 0xF) - 8) * scale;
                w[i + 16] = ((block->Codes[i] >> 4) - 8) * scale;
            }
        }
    }

    internal static void Q4_1(BlockQ4_1* block, long blocks, float* w)
    {
        for (; blocks > 0; blocks--, block++, w += 32)
        {
            float scale = (float)block->Scale, minimum = (float)block->Minimum;
            for (int i = 0; i < 16; i++)
            {
                w[i] = (block->Codes[i] & 0xF) * scale + minimum;
                w[i + 16] = (block->Codes[i] >> 4) * scale + minimum;
            }
        }
    }

    internal static void Q5_0(BlockQ5_0* block, long blocks, float* w)
    {
        for (; blocks > 0; blocks--, block++, w += 32)
        {
            float scale = (float)block->Scale;
            for (int i = 0; i < 16; i++)
            {
                w[i] = (FiveBits(block->Codes[i] & 0xF, block->HighBits, i) - 16) * scale;
                w[i + 16] = (FiveBits(block->Codes[i] >> 4, block->HighBits, i + 16) - 16) * scale;
            }
        }
    }

    internal static void Q5_1(BlockQ5_1* block, long blocks, float* w)
    {
        for (; blocks > 0; blocks--, block++, w += 32)
        {
            float scale = (float)block->Scale, minimum = (float)block->Minimum;
            for (int i = 0; i < 16; i++)
            {
                w[i] = FiveBits(block->Codes[i] & 0xF, block->HighBits, i) * scale + minimum;
                w[i + 16] = FiveBits(block->Codes[i] >> 4, block->HighBits, i + 16) * scale + minimum;
            }
        }
    }

    internal static void Q8_0(BlockQ8_0* block, long blocks, float* w)
    {
        for (; blocks > 0; blocks--, block++, w += 32)
        {
            float scale = (float)block->Scale;
            for (int i = 0; i < 32; i++) w[i] = block->Codes[i] * scale;
        }
    }

    private static int FiveBits(int low, uint highBits, int index) => low | (int)((highBits >> index) & 1) << 4;
}
